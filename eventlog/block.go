package eventlog

import "math/bits"

// BlockSize is how many offsets of a partition one [Block] covers.
const BlockSize = 4096

// Block says which offsets of one block of a partition are events of a school: those that count, be
// they folded, parked or skipped, but no duplicates and nothing unusable. It holds one bit for each
// offset from its first event to its last, so a school with few events costs a few bytes.
type Block struct {
	School string
	First  int64  // the offset of its first event
	Bits   []byte // of First and the offsets after it, from the highest bit of each byte down
	Len    int    // how many bits; the last one is an event
}

// Number is the block's place in its partition.
func (b *Block) Number() int64 { return b.First / BlockSize }

// Add adds an event, which is in the same block and later than all others.
func (b *Block) Add(offset int64) {
	if b.Len == 0 {
		b.First = offset
	}
	bit := int(offset - b.First)
	for bit/8 >= len(b.Bits) {
		b.Bits = append(b.Bits, 0)
	}
	b.Bits[bit/8] |= 0x80 >> (bit % 8)
	b.Len = bit + 1
}

// Offsets appends the offsets of the events from one on, in order.
func (b *Block) Offsets(dst []int64, from int64) []int64 {
	for i, set := range b.Bits {
		for ; set != 0; set &^= 0x80 >> bits.LeadingZeros8(set) {
			offset := b.First + int64(8*i+bits.LeadingZeros8(set))
			if offset >= from {
				dst = append(dst, offset)
			}
		}
	}
	return dst
}
