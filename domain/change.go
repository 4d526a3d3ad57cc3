package domain

import (
	"encoding/json"
	"reflect"
)

// Change is what a fact says about an attribute that it need not mention. The zero value, absent
// on the wire, leaves the attribute as it is; a value sets it; no value, null on the wire, removes
// it. So a producer who knows half of a record does not erase the other half.
//
// A value that is empty is not taken for a removal on the wire: who wants that must say null. T is
// one of the other types that a field of an event may have, but a number or truth value, whose zero
// is a value too.
type Change[T any] struct {
	Said  bool
	Value T // zero, when Said: the attribute is removed
}

// To returns a change to a value.
func To[T any](v T) Change[T] { return Change[T]{Said: true, Value: v} }

// Removed returns a change that removes the attribute.
func Removed[T any]() Change[T] { return Change[T]{Said: true} }

// Or returns the attribute as it is after the change, given what it was before.
func (c Change[T]) Or(before T) T {
	if c.Said {
		return c.Value
	}
	return before
}

// removes reports that the attribute is removed.
func (c Change[T]) removes() bool {
	v := reflect.ValueOf(&c.Value).Elem()
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
}

// MarshalJSON writes the value, or null for none. A change that says nothing must be left out: its
// field has the option omitzero.
func (c Change[T]) MarshalJSON() ([]byte, error) {
	if c.removes() {
		return []byte("null"), nil
	}
	return json.Marshal(c.Value)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Change[T]) UnmarshalJSON(b []byte) error {
	*c = Change[T]{Said: true}
	if string(b) == "null" {
		return nil
	}
	return json.Unmarshal(b, &c.Value)
}

func (Change[T]) isChange() {}

// ChangeOf returns the type of the value when t is a [Change], for codecs and schemas that work on
// types. The change's fields are then Said and the value, in this order.
func ChangeOf(t reflect.Type) (value reflect.Type, ok bool) {
	if !t.Implements(reflect.TypeFor[interface{ isChange() }]()) {
		return nil, false
	}
	return t.Field(1).Type, true
}
