package schema

import (
	"fmt"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

const dialect = "https://json-schema.org/draft/2020-12/schema"

// Event returns the schema of a fact as a structured CloudEvent.
func Event(f domain.Fact) *huma.Schema {
	s := attributes()
	s.Title = f.Type
	s.Description = f.Doc
	s.Properties["type"] = &huma.Schema{Type: huma.TypeString, Enum: []any{f.Type}}
	s.Properties["datacontenttype"] = &huma.Schema{Type: huma.TypeString}
	s.Properties["data"] = Data(f)
	s.Required = []string{"specversion", "id", "source", "type", "data"}
	// Extensions that are not ours may be sent; an attribute is a text, a whole number or a truth
	// value.
	s.AdditionalProperties = &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeString}, {Type: huma.TypeInteger}, {Type: huma.TypeBoolean},
	}}
	return s
}

// attributes are the context attributes of every event, but for its type.
func attributes() *huma.Schema {
	id := func(description string) *huma.Schema {
		least, most := 1, domain.MaxIDLength
		return &huma.Schema{
			Type: huma.TypeString, Description: description, MinLength: &least, MaxLength: &most,
			Pattern: patterns[domain.FormatID],
		}
	}
	optional := func(description string) *huma.Schema {
		s := id(description)
		s.MinLength = nil
		return s
	}
	least, most := 1, domain.MaxTextLength
	return &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
		"specversion": {Type: huma.TypeString, Enum: []any{"1.0"}},
		"id": id(
			"Chosen by the producer; together with source it identifies the event permanently. Like " +
				"all ids it is opaque, and must say nothing about anybody.",
		),
		"source": {
			Type: huma.TypeString, Format: "uri-reference", MinLength: &least, MaxLength: &most,
			Description: "Who published it, for example /sis/north.",
		},
		"time": {
			Type: huma.TypeString, Format: "date-time",
			Description: "When it happened. Over HTTP it may be left out, and is now.",
		},
		"subject":     id("What it is about. It may be left out; given, it must agree with the data."),
		"school":      id("The school. Over HTTP it may be left out, as the address names it."),
		"causationid": optional("The id of the event that caused this one."),
		"correlationid": optional(
			"Names everything that belongs to one undertaking, as an import.",
		),
		"actor": optional("The id of the user who did it, as the producer claims. Who wrote " +
			"the event is in authsub, which only Schoolbell writes."),
		"traceparent": optional("W3C Trace Context."),
		"tracestate": {
			Type: huma.TypeString, MaxLength: &most, Description: "W3C Trace Context.",
		},
	}}
}

// JSONSchema returns one document with the schema of every event, which takes any structured event
// of the catalogue.
func JSONSchema() ([]byte, error) {
	defs := map[string]any{}
	var all []any
	for _, f := range catalog.Facts() {
		defs[f.Type] = Event(f)
		all = append(all, map[string]any{"$ref": "#/$defs/" + f.Type})
	}
	return indented(map[string]any{
		"$schema": dialect, "title": "Schoolbell's events, as structured CloudEvents (" + cloudevents.StructuredType + ")",
		"$defs": defs, "oneOf": all,
	})
}

func indented(v any) ([]byte, error) {
	b, err := json.Marshal(v, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	return append(b, '\n'), nil
}
