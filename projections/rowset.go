package projections

import "reflect"

// What goes between a batch and a store. Rows are of many Go types here and only columns there, so
// they are reached by reflection, column by column, without a copy.

// RowSet holds rows of one table on their way to a store, as of the moment they were taken.
type RowSet struct {
	schema  *Schema
	pairs   reflect.Value // a slice of pair[K, R]
	deleted []bool        // nil when no row is
	added   []bool        // nil when no row is
}

// Schema describes the table.
func (s RowSet) Schema() *Schema { return s.schema }

// Len is the number of rows.
func (s RowSet) Len() int { return s.pairs.Len() }

// Value returns a column of a row.
func (s RowSet) Value(row, column int) reflect.Value {
	c := s.schema.Columns[column]
	part := 1 // the row
	if c.Key {
		part = 0
	}
	return s.pairs.Index(row).Field(part).Field(c.field)
}

// Deleted reports that the row is to be removed; only its key columns are set then.
func (s RowSet) Deleted(row int) bool { return s.deleted != nil && s.deleted[row] }

// New reports that the store has no row with this key.
func (s RowSet) New(row int) bool {
	return s.schema.AppendOnly || s.added != nil && s.added[row]
}

// Lookup holds the keys of one table whose rows a fold needs. A store looks them up.
type Lookup struct {
	schema *Schema
	keys   reflect.Value // a slice of K
	found  func(scan func(column int, into reflect.Value) error) error
}

// Schema describes the table.
func (l Lookup) Schema() *Schema { return l.schema }

// Len is the number of keys.
func (l Lookup) Len() int { return l.keys.Len() }

// Key returns a key column of a wanted row.
func (l Lookup) Key(row, column int) reflect.Value {
	return l.keys.Index(row).Field(l.schema.Columns[column].field)
}

// Found receives a row from the store: it calls scan with the settable value of each column in
// turn, and fails with scan's error.
func (l Lookup) Found(
	scan func(column int, into reflect.Value) error,
) error {
	return l.found(scan)
}
