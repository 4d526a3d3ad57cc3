package projections

import (
	"hash/maphash"
	"reflect"
	"slices"
)

// RowSet holds rows of one table on their way to a store, as of the moment they were taken.
type RowSet interface {
	Schema() *Schema
	Len() int
	// Value returns a column of a row.
	Value(row, column int) reflect.Value
	// Deleted reports that the row is to be removed; only its key columns are set then.
	Deleted(row int) bool
	// New reports that the store has no row with this key.
	New(row int) bool
}

// Lookup holds the keys of one table whose rows a fold needs. A store looks them up.
type Lookup interface {
	Schema() *Schema
	Len() int
	// Key returns a key column of a wanted row.
	Key(row, column int) reflect.Value
	// Found receives a row from the store: it calls scan with the settable value of each column in
	// turn.
	Found(scan func(column int, into reflect.Value) error) error
}

// anyRows are the rows of one table, of either implementation.
type anyRows interface{ ordinal() int }

// tableRows are the rows of one table that a worker holds in memory.
type tableRows interface {
	anyRows
	undo()
	accept()
	take() RowSet // nil when nothing has changed
	lookup() Lookup
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
	return &rows[K, R]{table: t, slots: map[K]*slot[K, R]{}, wanted: map[K]struct{}{},
		seed: maphash.MakeSeed()}
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

func (r *rows[K, R]) take() RowSet {
	if r.table.schema.AppendOnly {
		if len(r.added) == 0 {
			return nil
		}
		set := &rowSet[K, R]{schema: &r.table.schema, pairs: r.added}
		r.added, r.accepted = make([]pair[K, R], 0, len(r.added)), 0
		return set.bind()
	}
	if len(r.dirty) == 0 {
		return nil
	}
	set := &rowSet[K, R]{schema: &r.table.schema, pairs: make([]pair[K, R], len(r.dirty))}
	for i, s := range r.dirty {
		set.pairs[i] = s.pair
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
	return set.bind()
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

func (r *rows[K, R]) lookup() Lookup {
	if len(r.wanted) == 0 {
		return nil
	}
	l := &lookup[K, R]{rows: r, keys: make([]K, 0, len(r.wanted))}
	for k := range r.wanted {
		l.keys = append(l.keys, k)
	}
	l.values = reflect.ValueOf(l.keys)
	return l
}

func (r *rows[K, R]) settle() {
	for k := range r.wanted {
		if r.slots[k] == nil {
			r.slots[k] = &slot[K, R]{pair: pair[K, R]{Key: k}, loaded: true, absent: true}
		}
	}
	clear(r.wanted)
}

type lookup[K comparable, R any] struct {
	rows   *rows[K, R]
	keys   []K
	values reflect.Value
}

func (l *lookup[K, R]) Schema() *Schema { return &l.rows.table.schema }
func (l *lookup[K, R]) Len() int        { return len(l.keys) }
func (l *lookup[K, R]) Key(row, column int) reflect.Value {
	return l.values.Index(row).Field(l.Schema().Columns[column].field)
}

func (l *lookup[K, R]) Found(scan func(column int, into reflect.Value) error) error {
	s := &slot[K, R]{exists: true, loaded: true}
	key, row := reflect.ValueOf(&s.Key).Elem(), reflect.ValueOf(&s.Row).Elem()
	for i, c := range l.Schema().Columns {
		into := row
		if c.Key {
			into = key
		}
		if err := scan(i, into.Field(c.field)); err != nil {
			return err
		}
	}
	l.rows.slots[s.Key] = s
	return nil
}

type rowSet[K comparable, R any] struct {
	schema  *Schema
	pairs   []pair[K, R]
	deleted []bool // nil when there are none; so is added
	added   []bool
	values  reflect.Value
}

func (s *rowSet[K, R]) bind() RowSet {
	s.values = reflect.ValueOf(s.pairs)
	return s
}

func mark(marks []bool, i, n int) []bool {
	if marks == nil {
		marks = make([]bool, n)
	}
	marks[i] = true
	return marks
}

func (s *rowSet[K, R]) Schema() *Schema      { return s.schema }
func (s *rowSet[K, R]) Len() int             { return len(s.pairs) }
func (s *rowSet[K, R]) Deleted(row int) bool { return s.deleted != nil && s.deleted[row] }
func (s *rowSet[K, R]) New(row int) bool {
	return s.schema.AppendOnly || s.added != nil && s.added[row]
}

func (s *rowSet[K, R]) Value(row, column int) reflect.Value {
	c := s.schema.Columns[column]
	part := 1
	if c.Key {
		part = 0
	}
	return s.values.Index(row).Field(part).Field(c.field)
}
