package projections

import (
	"reflect"
	"sync/atomic"
)

// Table is a table of a projection as it is declared: K is a struct of its key columns, R of the
// others, both with `db` tags. The first key column is the school. Rows are plain values: a fold
// reads one with Get, changes its copy and writes it with Put. Slices and maps inside a row are
// shared with what is being written to the store, so a fold replaces them and never changes them in
// place.
type Table[K comparable, R any] struct {
	id     int
	schema Schema
}

// AnyTable is a table of any key and row.
type AnyTable interface {
	Part
	Schema() *Schema
	ordinal() int
	newRows() tableRows
	newPlainRows() plainTable
}

var tableCount atomic.Int64

// NewTable declares a table.
func NewTable[K comparable, R any](name string) *Table[K, R] {
	return &Table[K, R]{
		id:     int(tableCount.Add(1)) - 1,
		schema: newSchema(name, reflect.TypeFor[K](), reflect.TypeFor[R]()),
	}
}

// NewAppendTable declares a table that folds only add to, under keys that never occur again (they
// hold the position of the event). Folds cannot read its rows.
func NewAppendTable[K comparable, R any](name string) *Table[K, R] {
	t := NewTable[K, R](name)
	t.schema.AppendOnly = true
	return t
}

// Schema describes the table.
func (t *Table[K, R]) Schema() *Schema { return &t.schema }

func (t *Table[K, R]) addTo(p *Projection) { p.Tables = append(p.Tables, t) }
func (t *Table[K, R]) ordinal() int        { return t.id }
func (t *Table[K, R]) newRows() tableRows  { return newRows(t) }

func (t *Table[K, R]) newPlainRows() plainTable {
	return &plainRows[K, R]{table: t, rows: map[K]R{}}
}

// Get returns the row of a key, and whether there is one.
func (t *Table[K, R]) Get(b *Batch, k K) (R, bool) {
	if rows, ok := b.rows[t.id].(*rows[K, R]); ok {
		return rows.get(b, k)
	}
	return b.rows[t.id].(*plainRows[K, R]).get(k)
}

// Put writes the row of a key, whether or not there is one.
func (t *Table[K, R]) Put(b *Batch, k K, r R) {
	rows, ok := b.rows[t.id].(*rows[K, R])
	switch {
	case !ok:
		b.rows[t.id].(*plainRows[K, R]).set(k, &r)
		return
	case t.schema.AppendOnly:
		rows.add(k, r)
	default:
		rows.put(b, k, r, true)
	}
	b.touch(rows)
}

// Delete removes the row of a key, if there is one.
func (t *Table[K, R]) Delete(b *Batch, k K) {
	rows, ok := b.rows[t.id].(*rows[K, R])
	if !ok {
		b.rows[t.id].(*plainRows[K, R]).set(k, nil)
		return
	}
	var zero R
	rows.put(b, k, zero, false)
	b.touch(rows)
}
