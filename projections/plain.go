package projections

import (
	"fmt"
	"reflect"
	"slices"
)

// plainTable is a table as the reference holds it.
type plainTable interface {
	anyRows
	accept()
	undo()
	dump(d Dump) error
}

// plainRows is the simplest state that a fold can run on: a map of all rows, and how to undo an
// event.
type plainRows[K comparable, R any] struct {
	table *Table[K, R]
	rows  map[K]R
	undos []func()
}

func (p *plainRows[K, R]) ordinal() int { return p.table.id }

func (p *plainRows[K, R]) get(k K) (R, bool) {
	r, ok := p.rows[k]
	return r, ok
}

// set writes a row, or removes it when there is none.
func (p *plainRows[K, R]) set(k K, row *R) {
	before, existed := p.rows[k]
	p.undos = append(p.undos, func() {
		delete(p.rows, k)
		if existed {
			p.rows[k] = before
		}
	})
	if row == nil {
		delete(p.rows, k)
		return
	}
	if existed && p.table.schema.AppendOnly {
		panic(fmt.Sprintf("table %s: key %v was added twice", p.table.schema.Name, k))
	}
	p.rows[k] = *row
}

func (p *plainRows[K, R]) accept() { p.undos = nil }

func (p *plainRows[K, R]) undo() {
	for _, v := range slices.Backward(p.undos) {
		v()
	}
	p.undos = nil
}

func (p *plainRows[K, R]) dump(d Dump) error {
	s := &p.table.schema
	for k, r := range p.rows {
		key, row := reflect.ValueOf(k), reflect.ValueOf(r)
		values := make([]any, len(s.Columns))
		for i := range s.Columns {
			c, from := &s.Columns[i], row
			if c.Key {
				from = key
			}
			v, err := c.Value(from.Field(c.field))
			if err != nil {
				return err
			}
			values[i] = v
		}
		if err := d.Add(s, values); err != nil {
			return err
		}
	}
	return nil
}
