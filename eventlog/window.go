package eventlog

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"time"
)

// DefaultWindow is how many records back a repeated event is recognised as a duplicate.
const DefaultWindow = 1_000_000

// Window decides which records of one partition are duplicates, from the log alone: a record is one if the same
// school, source and id occur among the size offsets before it. Two readers of the same stretch of the log
// therefore decide alike, and nothing has to be stored besides the log.
//
// It keeps a 128-bit keyed hash per record in a ring, and an open-addressing index over the ring: about 24 bytes
// a record, growing with use. A Window is for one goroutine.
type Window struct {
	size  int64
	first int64 // the oldest offset that the ring covers
	next  int64 // the offset after the newest
	seeds [2]maphash.Seed
	ring  []digest // an offset's place is offset mod len(ring); the zero digest is a place not used
	index []uint32 // a place in the ring plus one, found by digest; zero is empty
	key   []byte   // scratch
}

type digest struct{ a, b uint64 }

const smallestRing = 1 << 8

// NewWindow returns an empty window over size offsets, which must be positive.
func NewWindow(size int) *Window {
	if size <= 0 || size > 1<<30 {
		panic(fmt.Sprintf("eventlog: window of %d records", size))
	}
	w := &Window{size: int64(size), seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	w.resize(smallestRing)
	return w
}

// Next returns the offset after the last one recorded, 0 before there is any.
func (w *Window) Next() int64 { return w.next }

// Seen records the event at an offset and says whether it is a duplicate. Offsets must grow from call to call but
// may leave gaps; a step back would make the answer depend on the reader, so it panics.
func (w *Window) Seen(offset int64, school, source, id string) bool {
	if offset < w.next {
		panic(fmt.Sprintf("eventlog: window at offset %d was asked about offset %d", w.next, offset))
	}
	w.forget(offset - w.size)
	for offset-w.first >= int64(len(w.ring)) {
		w.resize(2 * len(w.ring))
	}
	d := w.digest(school, source, id)
	place := w.place(offset)
	slot, duplicate := w.find(d)
	w.ring[place] = d
	w.index[slot] = uint32(place) + 1 // the newest occurrence stays in the window the longest
	w.next = offset + 1
	return duplicate
}

// digest hashes the key of an event. Lengths go first, so that no two keys share their bytes.
func (w *Window) digest(school, source, id string) digest {
	b := binary.AppendUvarint(w.key[:0], uint64(len(school)))
	b = binary.AppendUvarint(append(b, school...), uint64(len(source)))
	b = append(append(b, source...), id...)
	w.key = b
	// The lowest bit tells a digest from the zero value.
	return digest{maphash.Bytes(w.seeds[0], b) | 1, maphash.Bytes(w.seeds[1], b)}
}

// forget drops what is older than the offset.
func (w *Window) forget(offset int64) {
	if offset <= w.first {
		return
	}
	for w.first < min(offset, w.next) {
		place := w.place(w.first)
		if d := w.ring[place]; d != (digest{}) {
			if slot, ok := w.find(d); ok && w.index[slot] == uint32(place)+1 {
				w.remove(slot)
			}
			w.ring[place] = digest{}
		}
		w.first++
	}
	w.first = offset
}

func (w *Window) place(offset int64) int { return int(offset & int64(len(w.ring)-1)) }

func (w *Window) home(d digest) int { return int(d.b & uint64(len(w.index)-1)) }

// find returns the index slot that refers to the digest, or the empty one where it belongs.
func (w *Window) find(d digest) (slot int, ok bool) {
	mask := len(w.index) - 1
	for slot = w.home(d); w.index[slot] != 0; slot = (slot + 1) & mask {
		if w.ring[w.index[slot]-1] == d {
			return slot, true
		}
	}
	return slot, false
}

// remove empties an index slot and moves those behind it forward, so that no search ends too early.
func (w *Window) remove(slot int) {
	mask := len(w.index) - 1
	for i := (slot + 1) & mask; w.index[i] != 0; i = (i + 1) & mask {
		home := w.home(w.ring[w.index[i]-1])
		if (i-home)&mask >= (i-slot)&mask {
			w.index[slot] = w.index[i]
			slot = i
		}
	}
	w.index[slot] = 0
}

// resize moves everything to a ring of n places, a power of two, with an index twice as large.
func (w *Window) resize(n int) {
	old := w.ring
	w.ring = make([]digest, n)
	w.index = make([]uint32, 2*n)
	for offset := w.first; offset < w.next; offset++ {
		d := old[offset&int64(len(old)-1)]
		if d == (digest{}) {
			continue
		}
		place := w.place(offset)
		slot, _ := w.find(d)
		w.ring[place] = d
		w.index[slot] = uint32(place) + 1
	}
}

// Warm fills a window for a reader that begins at position: it reads the size offsets before it, or as many as the
// log still has, except for those that the window has seen already. The key function finds the school, source and
// id of a record, and says whether it has them; it must agree with what the reader does for the records it meets
// itself.
func (w *Window) Warm(ctx context.Context, log interface {
	Fetcher
	Inspector
}, partition int32, position int64, key func(*Record) (school, source, id string, ok bool),
) error {
	start, end, err := log.Bounds(ctx, partition)
	if err != nil {
		return err
	}
	if position > end {
		return fmt.Errorf("read back from offset %d of partition %d, which ends at %d: %w", position, partition, end, ErrOffsetOutOfRange)
	}
	const (
		maxBytes = 4 << 20
		maxWait  = 100 * time.Millisecond
	)
	for offset := max(start, position-w.size, w.next); offset < position; {
		batch, err := log.Fetch(ctx, partition, offset, maxBytes, maxWait)
		if err != nil {
			return err
		}
		for i := range batch.Records {
			rec := &batch.Records[i]
			if rec.Position.Offset >= position {
				return nil
			}
			if school, source, id, ok := key(rec); ok {
				w.Seen(rec.Position.Offset, school, source, id)
			}
		}
		offset = batch.Next
	}
	return nil
}
