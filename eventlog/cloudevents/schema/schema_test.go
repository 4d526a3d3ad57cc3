package schema_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents/schema"
)

func golden(t *testing.T, f domain.Fact) map[string]any {
	t.Helper()
	context, fact, version := f.Name()
	b, err := os.ReadFile(
		filepath.Join("../../../domain", context, "testdata",
			fmt.Sprintf("%s.v%d.json", fact, version)),
	)
	require.NoError(t, err)
	var v map[string]any
	require.NoError(t, json.Unmarshal(b, &v))
	return v
}

// problems is what is wrong with a value according to a schema.
func problems(s *huma.Schema, v any) []error {
	precompute(s)
	result := &huma.ValidateResult{}
	registry := huma.NewMapRegistry("#/", huma.DefaultSchemaNamer)
	huma.Validate(registry, s, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, v, result)
	return result.Errors
}

func precompute(s *huma.Schema) {
	if s == nil {
		return
	}
	s.PrecomputeMessages()
	for _, p := range s.Properties {
		precompute(p)
	}
	for _, o := range s.OneOf {
		precompute(o)
	}
	precompute(s.Items)
}

func TestGoldensFollowTheirSchemas(t *testing.T) {
	t.Parallel()
	for _, f := range catalog.Facts() {
		require.Empty(t, problems(schema.Event(f), golden(t, f)), f.Type)
	}
}

// decodes reports whether validation takes the data.
func decodes(t *testing.T, f domain.Fact, data any) bool {
	t.Helper()
	value, err := json.Marshal(data)
	require.NoError(t, err)
	_, err = cloudevents.Decode(
		eventlog.Record{Key: []byte("n"), Value: value, Headers: []eventlog.Header{
			{Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_id", Value: []byte("e")},
			{Key: "ce_source", Value: []byte("/schoolbell")}, // may write reserved facts
			{Key: "ce_type", Value: []byte(f.Type)},
			{Key: "ce_time", Value: []byte("2026-09-01T00:00:00Z")},
		}},
	)
	return err == nil
}

// mutations are values that some field of the catalogue should not take.
var mutations = []any{
	nil, "", " ", "x", 0.0, -1.0, 0.5, 1e13, true,
	[]any{},
	[]any{""},
	[]any{1.0},
	map[string]any{},
	strings.Repeat(
		"x", 600,
	), strings.Repeat("x", 130), "2026-02-30", "2026-09-01", "EUR", "eur", "a\x00b", " padded", "12", "nobody@", "https://", "x_y",
}

func TestSchemasAndValidationAgree(t *testing.T) {
	t.Parallel()
	compared, refused := 0, 0
	for _, f := range catalog.Facts() {
		s := schema.Data(f)
		for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
			for _, mutation := range append(mutations, "absent") {
				data := golden(t, f)["data"].(map[string]any)
				data[field] = mutation
				if mutation == "absent" {
					delete(data, field)
				}
				bySchema, byCode := len(problems(s, data)) == 0, decodes(t, f, data)
				compared++
				if !byCode {
					refused++
				}
				if bySchema == byCode ||
					bySchema && onlyCodeKnows(domain.RulesOf(f.New())["/"+field], mutation) {
					continue
				}
				t.Errorf("%s: %s = %.40q: the schema says %t, validation %t", f.Type, field,
					fmt.Sprint(mutation), bySchema, byCode)
			}
		}
	}
	require.Greater(t, refused, compared/3)
}

// onlyCodeKnows lists what a schema cannot express: what depends on another field as well, and that
// texts have no NUL.
func onlyCodeKnows(rules []domain.Rule, mutation any) bool {
	return mutation == "a\x00b" ||
		mutation == nil || // the validator of this test takes null for absent; JSON Schema does not
		slices.ContainsFunc(rules, func(r domain.Rule) bool { return r.Combined })
}

func TestTheCatalogueIsOneSchema(t *testing.T) {
	t.Parallel()
	b, err := schema.JSONSchema()
	require.NoError(t, err)
	var document struct {
		Schema string         `json:"$schema"`
		Defs   map[string]any `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(b, &document))
	require.Equal(t, "https://json-schema.org/draft/2020-12/schema", document.Schema)
	for _, f := range catalog.Facts() {
		require.Contains(t, document.Defs, f.Type)
	}
}

func TestMarkdownNamesEveryFact(t *testing.T) {
	t.Parallel()
	text := string(schema.Markdown())
	for _, f := range catalog.Facts() {
		require.Contains(t, text, "`"+f.Type+"`: "+f.Doc)
	}
	require.Contains(t, text, "| `audience.roles` | list of text | optional |")
}
