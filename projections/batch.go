package projections

import (
	"maps"
	"reflect"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
)

// Batch is the state of one partition in memory: the rows that the folds read and write, and what
// has changed since it was last taken. It belongs to one goroutine.
type Batch struct {
	set          *Set
	rows         []anyRows   // by the table's ordinal; nil for tables outside the set
	order        []tableRows // in the order of the set
	projectionOf []int       // by the table's ordinal: the index of its projection
	number       uint64
	touched      []tableRows // by the current event
	missing      bool        // the current event has read a row that must be looked up first
	changes      map[string]*Change
	evictAbove   int // how many rows may be held before some are evicted
}

// Change says which projections of a school have changed, and as of which offset.
type Change struct {
	School string
	// Offsets holds, by the projection's index in the set, the offset as of which it has changed
	// last; -1 when it has not. What was read at an earlier position is out of date.
	Offsets []int64
	// Tables are those of the latest commit that revises what is parked of the school, 0 without any:
	// see [Claim.Tables]. What was read from earlier ones is out of date, also at the present position.
	Tables int64
}

// raise records that a projection has changed as of an offset.
func (c *Change) raise(projection int, offset int64) {
	c.Offsets[projection] = max(c.Offsets[projection], offset)
}

func newChange(school string, projections int) *Change {
	c := &Change{School: school, Offsets: make([]int64, projections)}
	for i := range c.Offsets {
		c.Offsets[i] = -1
	}
	return c
}

// NewBatch returns an empty state. Complete means that the store holds nothing for the partition
// yet, so that a row which was never written need not be looked up.
func NewBatch(set *Set, complete bool) *Batch {
	b := &Batch{set: set, changes: map[string]*Change{}}
	for i, t := range set.tables {
		for len(b.rows) <= t.ordinal() {
			b.rows = append(b.rows, nil)
			b.projectionOf = append(b.projectionOf, -1)
		}
		rows := t.newRows()
		if complete {
			rows.setComplete()
		}
		b.rows[t.ordinal()] = rows
		b.order = append(b.order, rows)
		b.projectionOf[t.ordinal()] = set.projectionOf[i]
	}
	return b
}

// Outcome is what became of folding one event.
type Outcome uint8

// The outcomes.
const (
	Folded  Outcome = iota
	Missing         // rows must be looked up first (see Lookups); nothing has changed
	Failed          // the fold returned an error; nothing has changed
)

// Fold applies one event to all projections: entirely, or not at all.
func (b *Batch) Fold(e *domain.Envelope) (Outcome, error) {
	err := b.fold(e)
	switch {
	case b.missing:
		b.undo()
		return Missing, nil
	case err != nil:
		b.undo()
		return Failed, err
	}
	b.accept(e)
	return Folded, nil
}

// Probe runs the folds of an event only to find out which rows they need.
func (b *Batch) Probe(e *domain.Envelope) {
	_ = b.fold(e) // without its rows a fold may well fail; it is run again with them
	b.undo()
}

func (b *Batch) fold(e *domain.Envelope) (err error) {
	defer recoverFold(&err)
	for _, f := range b.set.folds[reflect.TypeOf(e.Data)] {
		if err := f.fold(b, e); err != nil {
			return b.set.foldError(f, err)
		}
	}
	for _, f := range b.set.every {
		if err := f.fold(b, e); err != nil {
			return b.set.foldError(f, err)
		}
	}
	return nil
}

func (b *Batch) want(tableRows) { b.missing = true }

func (b *Batch) touch(r tableRows) { b.touched = append(b.touched, r) }

func (b *Batch) undo() {
	for _, r := range b.touched {
		r.undo()
	}
	b.touched = b.touched[:0]
	b.missing = false
}

func (b *Batch) accept(e *domain.Envelope) {
	if len(b.touched) == 0 {
		return
	}
	c := b.change(e.School)
	for _, r := range b.touched {
		r.accept()
		c.raise(b.projectionOf[r.ordinal()], e.Position.Offset)
	}
	b.touched = b.touched[:0]
}

func (b *Batch) change(school string) *Change {
	c := b.changes[school]
	if c == nil {
		c = newChange(school, len(b.set.projections))
		b.changes[school] = c
	}
	return c
}

// MarkAll records that every projection of a school has changed as of an offset, for example
// because one of its subjects is parked.
func (b *Batch) MarkAll(school string, offset int64) {
	c := b.change(school)
	for i := range c.Offsets {
		c.raise(i, offset)
	}
}

// Lookups returns the keys that folds have missed. After the store has looked them up, call Settle.
func (b *Batch) Lookups() []Lookup {
	var ls []Lookup
	for _, r := range b.order {
		if l, some := r.lookup(); some {
			ls = append(ls, l)
		}
	}
	return ls
}

// Settle ends a round of lookups: what was not found does not exist.
func (b *Batch) Settle() {
	for _, r := range b.order {
		r.settle()
	}
}

// Take returns all that has changed since it was last called, and starts a new batch. When more
// than maxRows are held, those least recently used are evicted. They may be looked up again as soon
// as the next event is folded, so what the previous Take returned must be in the store by now.
func (b *Batch) Take(maxRows int) ([]RowSet, []*Change) {
	var sets []RowSet
	for _, r := range b.order {
		if set, some := r.take(); some {
			sets = append(sets, set)
		}
	}
	changes := slices.Collect(maps.Values(b.changes))
	clear(b.changes)
	b.evict(maxRows)
	b.number++
	return sets, changes
}

func (b *Batch) evict(maxRows int) {
	if b.size() <= max(maxRows, b.evictAbove) {
		return
	}
	for _, r := range b.order {
		r.evict(b.number)
	}
	// rows in constant use cannot be evicted: do not scan them every time
	b.evictAbove = b.size() * 5 / 4
}

func (b *Batch) size() int {
	n := 0
	for _, r := range b.order {
		n += r.size()
	}
	return n
}
