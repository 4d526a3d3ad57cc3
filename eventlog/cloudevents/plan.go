package cloudevents

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
)

// plan is how the data of one event type, or an object within it, is read and written: worked out
// once from the struct's fields and their tags.
type plan struct {
	fields   []field
	byName   map[string]int
	required uint64 // by the field's index
	prefix   string // pointer of the object, from the root of the data
}

type field struct {
	name     string // on the wire
	quoted   string // the name as JSON, with its colon
	pointer  string // from the root of the data
	index    int    // in the struct
	kind     kind
	optional bool
	change   bool  // a [domain.Change] of that kind, which null removes
	object   *plan // of a nested object, or of each entry of a list of objects
}

// kind is what a field holds.
type kind uint8

const (
	kindText kind = iota
	kindLabel
	kindDate
	kindInt
	kindDecimal
	kindBool
	kindTexts
	kindObject
	kindObjects
)

// anyEntry stands for the index of an entry in the pointers of a list's plan.
const anyEntry = "/-"

// noun describes what a value of the kind has to be.
func (k kind) noun() string {
	return [...]string{
		"a text", "a text or a whole number", "a date, for example 2021-08-31", "a whole number", "a number", "true or false",
		"a list of texts", "an object", "a list of objects",
	}[k]
}

// codec is a fact with its plan.
type codec struct {
	fact *domain.Fact
	plan *plan
}

// codecs by wire name, and those of the newest versions by the Go type of their data.
var codecs, newest = makeCodecs(catalog.Facts())

func makeCodecs(facts []domain.Fact) (map[string]*codec, map[reflect.Type]*codec) {
	byType, byGoType := map[string]*codec{}, map[reflect.Type]*codec{}
	for i := range facts {
		f := &facts[i]
		c := &codec{fact: f, plan: newPlan(f.Type, f.GoType(), "")}
		byType[f.Type] = c
		if f.Upcast == nil {
			byGoType[reflect.PointerTo(f.GoType())] = c
		}
	}
	return byType, byGoType
}

// maxFields is how many a struct may have: its required ones are a set of bits.
const maxFields = 64

func newPlan(wireType string, t reflect.Type, prefix string) *plan {
	p := &plan{byName: map[string]int{}, prefix: prefix}
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if name == "" || !sf.IsExported() || i >= maxFields {
			panic(
				fmt.Sprintf(
					"event %s: field %s.%s: want an exported field with a json tag, and at most %d of them",
					wireType, t, sf.Name, maxFields,
				),
			)
		}
		valueType, change := domain.ChangeOf(sf.Type)
		if !change {
			valueType = sf.Type
		}
		kind, ok := kindOf(valueType)
		if change && kind != kindText && kind != kindLabel && kind != kindDate &&
			kind != kindTexts {
			ok = false // its zero is a value
		}
		if !ok {
			panic(
				fmt.Sprintf(
					"event %s: field %s.%s is of type %s: want string, domain.Label, "+
						"domain.Date, domain.Decimal, int64, bool, []string, a struct of these or a list of "+
						"such structs, or a domain.Change of a text, label, date or []string",
					wireType,
					t,
					sf.Name,
					sf.Type,
				),
			)
		}
		f := field{
			name: name, quoted: `"` + name + `":`, pointer: prefix + "/" + name, index: i,
			kind: kind, optional: options == "omitzero", change: change,
		}
		switch f.kind {
		case kindObject:
			f.object = newPlan(wireType, sf.Type, f.pointer)
		case kindObjects:
			f.object = newPlan(wireType, sf.Type.Elem(), f.pointer+anyEntry)
		}
		if !f.optional {
			p.required |= 1 << len(p.fields)
		}
		p.byName[name] = len(p.fields)
		p.fields = append(p.fields, f)
	}
	return p
}

func kindOf(t reflect.Type) (k kind, ok bool) {
	switch t {
	case reflect.TypeFor[domain.Label]():
		return kindLabel, true
	case reflect.TypeFor[domain.Date]():
		return kindDate, true
	case reflect.TypeFor[domain.Decimal]():
		return kindDecimal, true
	case reflect.TypeFor[[]string]():
		return kindTexts, true
	}
	switch t.Kind() {
	case reflect.String:
		return kindText, true
	case reflect.Int64:
		return kindInt, true
	case reflect.Bool:
		return kindBool, true
	case reflect.Struct:
		return kindObject, true
	case reflect.Slice:
		return kindObjects, t.Elem().Kind() == reflect.Struct
	}
	return 0, false
}
