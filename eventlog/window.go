package eventlog

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
)

// DefaultWindow is how many records back a repeated event is recognised as a duplicate.
const DefaultWindow = 1_000_000

// Window decides which records of one partition are duplicates, from the log alone: a record is one
// if the same school, source and id occur among the size offsets before it. Two readers of the same
// stretch of the log therefore decide alike, and nothing has to be stored apart from the log.
//
// It remembers a keyed 64-bit hash of each record in a ring, and an open-addressing index over the
// ring: 16 bytes a record, growing with use. Two different events share a hash with odds of 2^-64
// for each pair, so a full window of a million records takes one event in about 10^13 for a
// duplicate that is none; at a thousand events a second that is once in five hundred years. The key
// is random for each window, so that a producer cannot construct events that collide. A Window is for one
// goroutine.
type Window struct {
	size  int64
	first int64 // the oldest offset that the ring covers
	next  int64 // the offset after the newest
	seed  maphash.Seed
	ring  []uint64 // hashes, each at its offset mod len(ring); zero is a slot not used
	index []uint32 // a slot of the ring plus one, found by hash; zero is empty
	key   []byte   // scratch
}

const minRing = 1 << 8

// NewWindow returns an empty window over size offsets, which must be positive.
func NewWindow(size int) *Window {
	if size <= 0 || size > 1<<30 {
		panic(fmt.Sprintf("eventlog: window of %d records", size))
	}
	w := &Window{size: int64(size), seed: maphash.MakeSeed()}
	w.resize(minRing)
	return w
}

// Next returns the offset after the last one recorded, 0 before there is any.
func (w *Window) Next() int64 { return w.next }

// Seen records the event at an offset and returns whether it is a duplicate. Offsets must grow from
// call to call but may leave gaps; a step back would make the verdict depend on the reader, so it
// panics.
func (w *Window) Seen(offset int64, school, source, id string) bool {
	if offset < w.next {
		panic(fmt.Sprintf("eventlog: offset %d given to a window at offset %d", offset, w.next))
	}
	w.forget(offset - w.size)
	for offset-w.first >= int64(len(w.ring)) {
		w.resize(2 * len(w.ring))
	}
	h := w.hash(school, source, id)
	at := w.slot(offset)
	i, duplicate := w.find(h)
	w.ring[at] = h
	w.index[i] = uint32(at) + 1 // the newest occurrence stays in the window the longest
	w.next = offset + 1
	return duplicate
}

// hash reduces the key of an event. Lengths go first, so that no two keys share their bytes.
func (w *Window) hash(school, source, id string) uint64 {
	b := binary.AppendUvarint(w.key[:0], uint64(len(school)))
	b = binary.AppendUvarint(append(b, school...), uint64(len(source)))
	b = append(append(b, source...), id...)
	w.key = b
	return max(1, maphash.Bytes(w.seed, b)) // zero is a slot not used
}

// forget drops what is older than the offset.
func (w *Window) forget(offset int64) {
	if offset <= w.first {
		return
	}
	for w.first < min(offset, w.next) {
		at := w.slot(w.first)
		if h := w.ring[at]; h != 0 {
			// An index entry that points elsewhere belongs to a newer occurrence.
			if i, ok := w.find(h); ok && w.index[i] == uint32(at)+1 {
				w.remove(i)
			}
			w.ring[at] = 0
		}
		w.first++
	}
	w.first = offset
}

func (w *Window) slot(offset int64) int { return int(offset & int64(len(w.ring)-1)) }

func (w *Window) home(h uint64) int { return int(h & uint64(len(w.index)-1)) }

// find returns the index entry that refers to the hash, or the empty one where it belongs.
func (w *Window) find(h uint64) (i int, ok bool) {
	mask := len(w.index) - 1
	for i = w.home(h); w.index[i] != 0; i = (i + 1) & mask {
		if w.ring[w.index[i]-1] == h {
			return i, true
		}
	}
	return i, false
}

// remove empties an index entry and moves those behind it forward, so that no search ends too
// early.
func (w *Window) remove(at int) {
	mask := len(w.index) - 1
	for i := (at + 1) & mask; w.index[i] != 0; i = (i + 1) & mask {
		home := w.home(w.ring[w.index[i]-1])
		if (i-home)&mask >= (i-at)&mask {
			w.index[at] = w.index[i]
			at = i
		}
	}
	w.index[at] = 0
}

// resize moves everything to a ring of n slots, a power of two, with an index twice as large.
func (w *Window) resize(n int) {
	old := w.ring
	w.ring = make([]uint64, n)
	w.index = make([]uint32, 2*n)
	for offset := w.first; offset < w.next; offset++ {
		h := old[offset&int64(len(old)-1)]
		if h == 0 {
			continue
		}
		at := w.slot(offset)
		i, _ := w.find(h)
		w.ring[at] = h
		w.index[i] = uint32(at) + 1
	}
}
