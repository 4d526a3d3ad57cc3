package projections

import (
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
)

// anyRows are the rows of one table, of either implementation.
type anyRows interface{ ordinal() int }

// tableRows are the rows of one table that a worker holds in memory.
type tableRows interface {
	anyRows
	undo()
	accept()
	take() (RowSet, bool) // false when nothing has changed
	lookup() (Lookup, bool)
	settle() // keys looked up and not found do not exist
	evict(current uint64)
	size() int
	setComplete()
}

// rows holds a table's rows by key. A row that it does not hold must be looked up in the store,
// unless it is complete: then a row that it neither holds nor has evicted does not exist.
type rows[K comparable, R any] struct {
	table    *Table[K, R]
	slots    map[K]*slot[K, R]
	dirty    []*slot[K, R]
	added    []pair[K, R] // of an append-only table
	undos    []undo[K, R]
	accepted int // how many of added are of events that succeeded
	wanted   map[K]struct{}

	complete bool
	evicted  *bloom
	seed     maphash.Seed
}

type slot[K comparable, R any] struct {
	pair[K, R]
	exists bool
	dirty  bool
	loaded bool   // false for a key that has been written and not yet been looked up
	absent bool   // the store certainly has no such row
	used   uint64 // the batch that last touched it
}

type pair[K comparable, R any] struct {
	Key K
	Row R
}

type undo[K comparable, R any] struct {
	slot   *slot[K, R]
	row    R
	exists bool
	loaded bool
	dirty  bool
}

func newRows[K comparable, R any](t *Table[K, R]) *rows[K, R] {
	return &rows[K, R]{
		table: t, slots: map[K]*slot[K, R]{}, wanted: map[K]struct{}{},
		seed: maphash.MakeSeed(),
	}
}

func (r *rows[K, R]) ordinal() int { return r.table.id }
func (r *rows[K, R]) size() int    { return len(r.slots) }
func (r *rows[K, R]) setComplete() { r.complete = true }

func (r *rows[K, R]) get(b *Batch, k K) (R, bool) {
	s := r.slots[k]
	if s == nil {
		if !r.isNew(k) {
			r.wanted[k] = struct{}{}
			b.want(r)
			var zero R
			return zero, false
		}
		s = &slot[K, R]{pair: pair[K, R]{Key: k}, loaded: true, absent: true}
		r.slots[k] = s
	}
	s.used = b.number
	return s.Row, s.exists
}

// isNew reports that there has never been a row with a key that is not held.
func (r *rows[K, R]) isNew(k K) bool {
	return r.complete && !r.evicted.has(maphash.Comparable(r.seed, k))
}

func (r *rows[K, R]) put(b *Batch, k K, row R, exists bool) {
	s := r.slots[k]
	if s == nil {
		s = &slot[K, R]{pair: pair[K, R]{Key: k}, absent: r.isNew(k)}
		r.slots[k] = s
	}
	r.undos = append(r.undos, undo[K, R]{s, s.Row, s.exists, s.loaded, s.dirty})
	s.Row, s.exists, s.loaded, s.used = row, exists, true, b.number
	if !s.dirty {
		s.dirty = true
		r.dirty = append(r.dirty, s)
	}
}

func (r *rows[K, R]) add(k K, row R) { r.added = append(r.added, pair[K, R]{k, row}) }

// undo reverts what the current event has written, the latest first.
func (r *rows[K, R]) undo() {
	for _, u := range slices.Backward(r.undos) {
		u.slot.Row, u.slot.exists, u.slot.loaded = u.row, u.exists, u.loaded
		if u.slot.dirty && !u.dirty {
			u.slot.dirty = false
			r.dirty = r.dirty[:len(r.dirty)-1]
		}
		if !u.loaded {
			delete(r.slots, u.slot.Key)
		}
	}
	r.undos = r.undos[:0]
	r.added = r.added[:r.accepted]
}

// accept makes what the current event has written part of the batch.
func (r *rows[K, R]) accept() {
	r.undos = r.undos[:0]
	r.accepted = len(r.added)
}

func (r *rows[K, R]) take() (RowSet, bool) {
	set := RowSet{schema: &r.table.schema}
	if set.schema.AppendOnly {
		set.pairs = reflect.ValueOf(r.added)
		r.added, r.accepted = make([]pair[K, R], 0, len(r.added)), 0
		return set, set.Len() > 0
	}
	pairs := make([]pair[K, R], len(r.dirty))
	for i, s := range r.dirty {
		pairs[i] = s.pair
		switch {
		case !s.exists:
			set.deleted = mark(set.deleted, i, len(r.dirty))
		case s.absent:
			set.added = mark(set.added, i, len(r.dirty))
		}
		// once committed; if that fails, all rows are discarded
		s.dirty, s.absent = false, !s.exists
	}
	r.dirty = r.dirty[:0]
	set.pairs = reflect.ValueOf(pairs)
	return set, set.Len() > 0
}

// evict forgets about half of the rows: those last used before the median of a sample. Rows that
// the current batch has used stay, as their changes are not in the store yet. A sample is enough:
// an exact order (LRU) would cost a pointer change with every access.
func (r *rows[K, R]) evict(current uint64) {
	before := min(r.medianAge()+1, current)
	for k, s := range r.slots {
		if s.dirty || s.used >= before {
			continue
		}
		if s.exists && r.complete {
			if r.evicted == nil {
				r.evicted = newBloom()
			}
			r.evicted.add(maphash.Comparable(r.seed, k))
		}
		delete(r.slots, k)
	}
}

func (r *rows[K, R]) medianAge() uint64 {
	ages := make([]uint64, 0, 256)
	for _, s := range r.slots { // in no particular order
		ages = append(ages, s.used)
		if len(ages) == cap(ages) {
			break
		}
	}
	if len(ages) == 0 {
		return 0
	}
	slices.Sort(ages)
	return ages[len(ages)/2]
}

func (r *rows[K, R]) lookup() (Lookup, bool) {
	keys := slices.Collect(maps.Keys(r.wanted))
	return Lookup{&r.table.schema, reflect.ValueOf(keys), r.found}, len(keys) > 0
}

// found adds a row from the store.
func (r *rows[K, R]) found(scan func(column int, into reflect.Value) error) error {
	s := &slot[K, R]{exists: true, loaded: true}
	key, row := reflect.ValueOf(&s.Key).Elem(), reflect.ValueOf(&s.Row).Elem()
	for i, c := range r.table.schema.Columns {
		into := row
		if c.Key {
			into = key
		}
		if err := scan(i, into.Field(c.field)); err != nil {
			return err
		}
	}
	r.slots[s.Key] = s
	return nil
}

func (r *rows[K, R]) settle() {
	for k := range r.wanted {
		if r.slots[k] == nil {
			r.slots[k] = &slot[K, R]{pair: pair[K, R]{Key: k}, loaded: true, absent: true}
		}
	}
	clear(r.wanted)
}

// mark sets the i-th of n marks, which are nil while there are none.
func mark(marks []bool, i, n int) []bool {
	if marks == nil {
		marks = make([]bool, n)
	}
	marks[i] = true
	return marks
}
