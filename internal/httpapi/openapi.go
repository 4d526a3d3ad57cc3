package httpapi

import (
	"io"
	"reflect"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
)

// The tags of OpenAPI, in the order in which a newcomer meets them.
const (
	tagEvents     = "Events"
	tagAnalytics  = "Analytics"
	tagStudents   = "Students"
	tagImports    = "Imports"
	tagDeliveries = "Deliveries"
	tagInbox      = "Inbox"
	tagSettings   = "Settings"
	tagLive       = "Live"
	tagOperations = "Operations"
	tagReference  = "Reference"
)

var tags = []*huma.Tag{
	{Name: tagEvents, Description: "Publish events, and read a school's log."},
	{
		Name:        tagAnalytics,
		Description: "What the events add up to: attendance, results, fees, risk.",
	},
	{Name: tagStudents, Description: "Students, their classes and their history."},
	{
		Name:        tagImports,
		Description: "Bring in what another system holds of the school, as a plan that is applied.",
	},
	{Name: tagDeliveries, Description: "Text messages, e-mails, push messages and documents: " +
		"what was sent, and decisions about it."},
	{Name: tagInbox, Description: "What users read of their own messages, and the devices that " +
		"they get push messages on."},
	{Name: tagSettings, Description: "What a school sends to whom, how and when."},
	{Name: tagLive, Description: "Connections that receive events as they happen, and the tokens " +
		"that open them."},
	{Name: tagOperations, Description: "Queues, dead letters and deliveries of all schools, for " +
		"operators of the platform."},
	{Name: tagReference, Description: "Descriptions of the events and of the log, for programs."},
}

// humaConfig is how the API is described, and how bodies are read and written.
func humaConfig(c Config) huma.Config {
	// Types that marshal themselves have no schema that reflection could find; the aliases stand in
	// for them.
	schemas := huma.NewMapRegistry("#/components/schemas/", schemaName)
	schemas.RegisterTypeAlias(reflect.TypeFor[domain.Date](), reflect.TypeFor[dateSchema]())
	schemas.RegisterTypeAlias(
		reflect.TypeFor[domain.LogPosition](), reflect.TypeFor[positionSchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[consumers.Clock](), reflect.TypeFor[clockSchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[jsontext.Value](), reflect.TypeFor[anySchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[Problem]())
	format := huma.Format{
		Marshal:   func(w io.Writer, v any) error { return json.MarshalWrite(w, v) },
		Unmarshal: func(b []byte, v any) error { return json.Unmarshal(b, v) },
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0", Tags: tags,
			Info: &huma.Info{
				Title: "Schoolbell", Version: c.Version,
				Description: "Publish events of schools, and query what they add up to. Every " +
					"response says in Schoolbell-Position how much of the log it covers. To read " +
					"your own writes, send the position of your last event in " +
					"Schoolbell-Min-Position: the response then covers it.",
				License: &huma.License{Name: "Apache 2.0", Identifier: "Apache-2.0"},
			},
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {
						Type: "http", Scheme: "bearer", BearerFormat: "JWT",
						Description: "A JSON Web Token with sub, school, roles and scope. The " +
							"school * is for operators of the platform.",
					},
				},
			},
			Security: []map[string][]string{{"bearer": {}}},
			// huma describes errors as its own type; every error of ours is a Problem.
			OnAddOperation: []huma.AddOpFunc{func(_ *huma.OpenAPI, op *huma.Operation) {
				for status, response := range op.Responses {
					if status >= "400" && response.Content != nil {
						schema := schemas.Schema(reflect.TypeFor[Problem](), true, "")
						response.Content = map[string]*huma.MediaType{problemType: {Schema: schema}}
					}
				}
			}},
		},
		Formats: map[string]huma.Format{
			"application/json": format,
			"json":             format,
		},
		DefaultFormat: "application/json",
		// A misspelt filter that is ignored returns too much, which a caller may not notice.
		RejectUnknownQueryParameters: true,
		// The last step before a body is written, where errors of huma itself can still become
		// problems.
		Transformers: []huma.Transformer{func(hc huma.Context, _ string, v any) (any, error) {
			_, w := humago.Unwrap(hc)
			switch e := v.(type) {
			case *huma.ErrorModel:
				p := asProblem(e)
				p.prepare(w.Header(), requestOf(hc.Context()))
				return p, nil
			case *Problem:
				e.prepare(w.Header(), requestOf(hc.Context()))
			}
			return v, nil
		}},
	}
}

// schemaName prefixes a type's name with its package, since read models may use the same name for
// different types.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
	if t.Name() == "" || pkg == "" || pkg == "httpapi" || pkg == "domain" {
		return name
	}
	title := []rune(pkg)
	title[0] = unicode.ToUpper(title[0])
	if strings.HasPrefix(name, string(title)) {
		return name
	}
	return string(title) + name
}

type dateSchema string

// Schema implements [huma.SchemaProvider].
func (dateSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date"}
}

type positionSchema string

// Schema implements [huma.SchemaProvider].
func (positionSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Pattern: `^(0|[1-9]\d*):(-1|0|[1-9]\d*)(-[0-9a-z]{5})?$`,
		Examples: []any{"7:1042-k3f9a"},
	}
}

type clockSchema string

// Schema implements [huma.SchemaProvider].
func (clockSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Pattern: `^([01]\d|2[0-3]):[0-5]\d$`,
		PatternDescription: "a time of day, for example 21:30", Examples: []any{"21:30"},
	}
}

type anySchema string

// Schema implements [huma.SchemaProvider]: any JSON.
func (anySchema) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }
