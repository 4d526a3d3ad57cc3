package schema

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/domain"
)

// Data returns the schema of the data of a fact.
func Data(f domain.Fact) *huma.Schema {
	probe := f.New()
	v := reflect.ValueOf(probe).Elem()
	fill(v)
	return object(v.Type(), "", shape{domain.RulesOf(probe), personsOf(f)})
}

// shape is what is said of the members of an event's data, by their pointers.
type shape struct {
	rules   map[string][]domain.Rule
	persons map[string][]domain.Person
}

// personal is the name under which a schema says whose a member is.
const personal = "x-personal"

func personsOf(f domain.Fact) map[string][]domain.Person {
	of := map[string][]domain.Person{}
	for _, text := range domain.TextsOf(f) {
		if len(text.Of) > 0 {
			of[text.Pointer] = text.Of
		}
	}
	return of
}

// fill puts something into every text and list, so that validation looks at it.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	}
}

func object(t reflect.Type, prefix string, is shape) *huma.Schema {
	s := &huma.Schema{
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, AdditionalProperties: false,
	}
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		p := property(field.Type, prefix+"/"+name, is)
		if of := is.persons[prefix+"/"+name]; len(of) > 0 {
			p.Extensions = map[string]any{personal: of}
		}
		s.Properties[name] = p
		if options != "omitzero" || slices.ContainsFunc(is.rules[prefix+"/"+name], demanded) {
			s.Required = append(s.Required, name)
		}
	}
	return s
}

// demanded reports a rule that an empty text breaks: a type may demand what others that share its
// struct leave out.
func demanded(r domain.Rule) bool { return r.MinLength > 0 }

// change is the schema of an attribute that null removes; an empty value does not.
func change(value reflect.Type, pointer string, is shape) *huma.Schema {
	s, least := property(value, pointer, is), 1
	switch {
	case s.OneOf != nil:
		s.OneOf[0].MinLength, s.OneOf[0].Nullable = &least, true
		return s
	case s.Type == huma.TypeArray:
		s.MinItems = &least
	case s.Format == "":
		s.MinLength = &least
	}
	s.Nullable = true
	return s
}

func property(t reflect.Type, pointer string, is shape) *huma.Schema {
	if value, ok := domain.ChangeOf(t); ok {
		return change(value, pointer, is)
	}
	s := &huma.Schema{}
	switch {
	case t == reflect.TypeFor[domain.Date]():
		return &huma.Schema{Type: huma.TypeString, Format: "date"}
	case t == reflect.TypeFor[domain.Label]():
		text := &huma.Schema{Type: huma.TypeString}
		constrain(text, is.rules[pointer])
		return &huma.Schema{OneOf: []*huma.Schema{text, {Type: huma.TypeInteger}}}
	case t.Kind() == reflect.String:
		s.Type = huma.TypeString
	case t == reflect.TypeFor[domain.Decimal]():
		s.Type, s.Description = huma.TypeNumber, "At most four digits after the point"
	case t.Kind() == reflect.Int64:
		s.Type = huma.TypeInteger
	case t.Kind() == reflect.Bool:
		s.Type = huma.TypeBoolean
	case t.Kind() == reflect.Slice:
		s.Type = huma.TypeArray
		s.Items = property(t.Elem(), pointer+"/0", is)
	case t.Kind() == reflect.Struct:
		return object(t, pointer, is)
	default:
		panic(
			fmt.Sprintf("field %s is of type %s, which no event can hold", pointer, t),
		) // the codec has refused it
	}
	constrain(s, is.rules[pointer])
	return s
}

// phone is what a telephone number may have between its digits, as a class of characters.
const phone = `+()\-./ x` +
	"\u00a0\u2007\u202f\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

// Patterns of the forms of texts, in what JSON Schema's regular expressions and Go's have in
// common.
var patterns = map[domain.Format]string{
	domain.FormatID:       `^([^\x00-\x20\x7F]([^\x00-\x1F\x7F]*[^\x00-\x20\x7F])?)?$`,
	domain.FormatText:     `[^ \t\r\n]`,
	domain.FormatName:     `^[^\x00-\x1F\x7F-\x9F]*[^\x00-\x20\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$`,
	domain.FormatLine:     `^[^\x00-\x1F\x7F-\x9F]*$`,
	domain.FormatCurrency: `^([A-Z]{3})?$`,
	domain.FormatURL:      `^([hH][tT][tT][pP][sS]?://[^/].*)?$`,
	domain.FormatPhone:    "^([" + phone + "]*([0-9][" + phone + "]*){3,20})?$",
	domain.FormatEmail:    `^([^@ <>,;\t\r\n]+@[^@ <>,;\t\r\n]*\.[^@ <>,;\t\r\n]*)?$`,
	domain.FormatLanguage: `^([A-Za-z0-9]{2,8}(-[A-Za-z0-9]{1,8})*)?$`,
	domain.FormatSHA256:   `^[0-9a-f]{64}$`,
}

// constrain adds what validation demands.
func constrain(s *huma.Schema, rules []domain.Rule) {
	for _, r := range rules {
		if r.MinLength > 0 {
			s.MinLength = &r.MinLength
		}
		if r.MaxLength > 0 && (s.MaxLength == nil || *s.MaxLength > r.MaxLength) {
			s.MaxLength = &r.MaxLength
		}
		if r.MaxItems > 0 {
			s.MaxItems = &r.MaxItems
		}
		if r.Format != "" {
			s.Pattern = patterns[r.Format]
		}
		for _, v := range r.Enum {
			s.Enum = append(s.Enum, v)
		}
		if r.Max == 0 {
			continue
		}
		least, most := float64(r.Min), float64(r.Max)
		if r.Above {
			s.ExclusiveMinimum = &least
		} else {
			s.Minimum = &least
		}
		switch {
		case r.Below:
			s.ExclusiveMaximum = &most
		case r.Max < 1<<53: // beyond, JSON's numbers are not exact
			s.Maximum = &most
		}
	}
}
