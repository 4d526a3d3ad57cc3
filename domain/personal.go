package domain

import (
	"reflect"
	"strings"
)

// Person is a kind of people about whom events say something.
type Person string

// The kinds.
const (
	OfStudent  Person = "student"
	OfGuardian Person = "guardian"
	OfStaff    Person = "staff"
)

// People are all kinds.
var People = []Person{OfStudent, OfGuardian, OfStaff}

// Text is a member of an event's data that holds a text, a list of texts or a date. Its struct field
// has the tag whose with the people whose it is, or the tag impersonal with the reason why it is
// nobody's:
//
//	Phone string `json:"phone,omitzero" whose:"guardian"`
//	Title string `json:"title" impersonal:"names a class"`
//
// What must leave nothing of a person, or show all of it, goes by these marks. Ids have none: they
// are opaque by contract, and stay.
type Text struct {
	Pointer string // a JSON pointer from the root of the data
	Of      []Person
	Reason  string
	Type    reflect.Type // of one value: string, Label or Date
}

// TextsOf returns the texts of a fact's data.
func TextsOf(f Fact) []Text { return textsOf(f.GoType(), "") }

func textsOf(t reflect.Type, prefix string) (all []Text) {
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value := field.Type
		if of, ok := ChangeOf(value); ok {
			value = of
		}
		if value.Kind() == reflect.Slice {
			value = value.Elem()
		}
		pointer := prefix + "/" + name
		switch {
		case value.Kind() == reflect.Struct:
			all = append(all, textsOf(value, pointer)...)
			continue
		case value.Kind() != reflect.String && value != reflect.TypeFor[Date]():
			continue
		}
		text := Text{Pointer: pointer, Reason: field.Tag.Get("impersonal"), Type: value}
		if whose := field.Tag.Get("whose"); whose != "" {
			for person := range strings.SplitSeq(whose, ",") {
				text.Of = append(text.Of, Person(person))
			}
		}
		all = append(all, text)
	}
	return all
}
