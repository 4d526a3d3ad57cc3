package eventlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
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
// is random for each window, so that a producer cannot construct events that collide.
//
// Two bytes more hold a digest of each record's content, by which an id that is used a second time
// for another event is noticed; of 32,768 such mistakes one is not. A Window is for one goroutine.
type Window struct {
	size    int64
	first   int64 // the oldest offset that the ring covers
	next    int64 // the offset after the newest
	seed    maphash.Seed
	ring    []uint64 // hashes, each at its offset mod len(ring); zero is a slot not used
	content []uint16 // of each slot of the ring, and whether it is known to be usable
	index   []uint32 // a slot of the ring plus one, found by hash; zero is empty
	key     []byte   // scratch
}

// usable is the bit of a digest that says that the record was found to be an event.
const usable = 1

// Digest is a short digest of a record's content.
type Digest uint16

// Content returns a digest of what the record says: its type, subject and data, and what decides
// whether they can be read. It leaves out what differs when a producer sends an event again or
// intake adds, such as a time and a trace.
func (r *Record) Content() Digest {
	sum := crc32.Checksum(r.Value, castagnoli)
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Key {
		case "ce_specversion", HeaderType, HeaderSchool, "ce_subject", "content-type":
			// Headers are added up, so that their order does not matter.
			sum += crc32.Update(uint32(len(h.Key)), castagnoli, h.Value)
		}
	}
	return Digest(sum>>16^sum) &^ usable
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) // processors compute it

// Verdict is what a window knows about a record.
type Verdict int

// The verdicts.
const (
	First       Verdict = iota // no record of its id is in the window
	Repetition                 // the latest one of its id has the same content
	Contradicts                // the latest one of its id has another content
)

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

// Seen decides about the record at an offset. Earlier is the offset of the latest record of its id,
// if there is one, and known says that it was found to be an event: until then it may be none, and
// the verdict may not hold ([Window.Settle]). Only a first record and the repetition of an event take
// their place in the window. For the others, whoever finds the record to be an event calls
// [Window.Put], so that what is none never stands in the way of the event.
//
// Offsets must grow from call to call but may leave gaps; a step back would make the verdict depend
// on the reader, so it panics.
func (w *Window) Seen(
	offset int64, school, source, id string, content Digest,
) (verdict Verdict, earlier int64, known bool) {
	h, i, found := w.reach(offset, school, source, id)
	if !found {
		w.put(offset, h, i, uint16(content))
		return First, 0, false
	}
	was := int(w.index[i] - 1)
	earlier, known = w.offset(was), w.content[was]&usable != 0
	if Digest(w.content[was]&^usable) != content {
		return Contradicts, earlier, known
	}
	if known {
		w.put(offset, h, i, uint16(content)|usable)
	}
	return Repetition, earlier, known
}

// Put gives an event its place in the window, at an offset that was [Seen] last.
func (w *Window) Put(offset int64, school, source, id string, content Digest) {
	h, i, _ := w.reach(offset, school, source, id)
	w.put(offset, h, i, uint16(content)|usable)
}

// Settle says whether the record at an earlier offset is an event. One that is none loses its place.
func (w *Window) Settle(offset int64, isEvent bool) {
	if offset < w.first || offset >= w.next {
		return
	}
	at := w.slot(offset)
	if isEvent {
		w.content[at] |= usable
		return
	}
	w.clear(at)
}

// reach moves the window up to an offset, and finds a key in it.
func (w *Window) reach(offset int64, school, source, id string) (h uint64, i int, found bool) {
	if offset < w.next {
		panic(fmt.Sprintf("eventlog: offset %d given to a window at offset %d", offset, w.next))
	}
	w.forget(offset - w.size)
	for offset-w.first >= int64(len(w.ring)) {
		w.resize(2 * len(w.ring))
	}
	h = w.hash(school, source, id)
	i, found = w.find(h)
	return h, i, found
}

func (w *Window) put(offset int64, h uint64, i int, content uint16) {
	at := w.slot(offset)
	w.ring[at], w.content[at] = h, content
	w.index[i] = uint32(at) + 1 // the newest occurrence stays in the window the longest
	w.next = offset + 1
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
		w.clear(w.slot(w.first))
		w.first++
	}
	w.first = offset
}

// clear empties a slot of the ring.
func (w *Window) clear(at int) {
	h := w.ring[at]
	if h == 0 {
		return
	}
	// An index entry that points elsewhere belongs to a newer occurrence.
	if i, ok := w.find(h); ok && w.index[i] == uint32(at)+1 {
		w.remove(i)
	}
	w.ring[at] = 0
}

func (w *Window) slot(offset int64) int { return int(offset & int64(len(w.ring)-1)) }

// offset is the one of a slot in use, which lies in the ring's length up to the newest.
func (w *Window) offset(at int) int64 {
	newest := w.next - 1
	return newest - (newest-int64(at))&int64(len(w.ring)-1)
}

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
	old, content := w.ring, w.content
	w.ring, w.content = make([]uint64, n), make([]uint16, n)
	w.index = make([]uint32, 2*n)
	for offset := w.first; offset < w.next; offset++ {
		from := offset & int64(len(old)-1)
		h := old[from]
		if h == 0 {
			continue
		}
		at := w.slot(offset)
		i, _ := w.find(h)
		w.ring[at], w.content[at] = h, content[from]
		w.index[i] = uint32(at) + 1
	}
}
