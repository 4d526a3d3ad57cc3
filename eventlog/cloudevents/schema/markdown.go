package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
)

// Markdown returns the catalogue for people: a section for each context, a table for each event.
func Markdown() []byte {
	var b strings.Builder
	b.WriteString("# Events\n\nCloudEvents 1.0. A field without a mark is required; absent, an optional " +
		"one\nleaves what is stored as it is. Where a field may be null, null removes what is stored.\n\n" +
		"Ids are opaque: choose them so that they say nothing about anybody, as they stay when what is\n" +
		"stored about a person is erased. Whose a personal field is says the last column.\n")
	last := ""
	for _, f := range catalog.Facts() {
		context, fact, version := f.Name()
		if context != last {
			fmt.Fprintf(&b, "\n## %s\n", context)
			last = context
		}
		fmt.Fprintf(&b, "\n### %s v%d\n\n`%s`: %s", fact, version, f.Type, f.Doc)
		switch {
		case f.Upcast != nil:
			b.WriteString(" *An older version, still read.*")
		case f.Reserved:
			b.WriteString(" *Written by Schoolbell only.*")
		}
		b.WriteString("\n\n| Field | Type | | Whose |\n|---|---|---|---|\n")
		rows(&b, "", Data(f))
	}
	return []byte(b.String())
}

func rows(b *strings.Builder, prefix string, s *huma.Schema) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		if p.Type == huma.TypeObject {
			rows(b, prefix+name+".", p)
			continue
		}
		optional := ""
		if !slices.Contains(s.Required, name) {
			optional = "optional"
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s | %s |\n", prefix, name, typeOf(p), optional, whose(p))
	}
}

// whose names the people of whom a field is.
func whose(s *huma.Schema) string {
	of, _ := s.Extensions[personal].([]domain.Person)
	names := make([]string, len(of))
	for i, person := range of {
		names[i] = string(person)
	}
	return strings.Join(names, ", ")
}

// typeOf describes in a few words what a field holds.
func typeOf(s *huma.Schema) string {
	if s.Nullable {
		known := *s
		known.Nullable = false
		return typeOf(&known) + " or null"
	}
	switch {
	case len(s.OneOf) > 0 && s.OneOf[0].Nullable:
		return "text, whole number or null"
	case len(s.OneOf) > 0:
		return "text or whole number"
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			words[i] = fmt.Sprintf("`%v`", v)
		}
		return strings.Join(words, ", ")
	case s.Type == huma.TypeArray:
		return "list of " + typeOf(s.Items)
	case s.Format != "":
		return s.Format
	}
	return map[string]string{
		huma.TypeString: "text", huma.TypeInteger: "whole number", huma.TypeNumber: "number", huma.TypeBoolean: "true or false",
	}[s.Type]
}
