package httpapi_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/projections/catalog"
)

// described is what a test needs of a schema in OpenAPI.
type described struct {
	Ref         string               `json:"$ref"`
	Type        any                  `json:"type"` // a name, or a list of names
	Description string               `json:"description"`
	Properties  map[string]described `json:"properties"`
	Items       *described           `json:"items"`
	OneOf       []described          `json:"oneOf"`
}

func (d described) isNumber() bool {
	names, several := d.Type.([]any)
	if !several {
		names = []any{d.Type}
	}
	return slices.Contains(names, any("integer")) || slices.Contains(names, any("number"))
}

// TestP13_EveryNumberOfAResponseIsDefined wants a description in OpenAPI of each numeric member that a
// query returns, or its name in docs/NUMBERS.md.
func TestP13_EveryNumberOfAResponseIsDefined(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/NUMBERS.md")
	require.NoError(t, err)
	golden, err := os.ReadFile("testdata/openapi.json")
	require.NoError(t, err)
	var api struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct {
					Schema described `json:"schema"`
				} `json:"content"`
			} `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]described `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(golden, &api))
	seen, count := map[string]bool{}, 0
	var visit func(of string, d described)
	visit = func(of string, d described) {
		if name := strings.TrimPrefix(d.Ref, "#/components/schemas/"); d.Ref != "" && !seen[name] {
			seen[name] = true
			visit(name, api.Components.Schemas[name])
		}
		for name, member := range d.Properties {
			if member.isNumber() {
				count++
				if member.Description == "" && !strings.Contains(string(page), "`"+name+"`") {
					t.Errorf("%s of %s is a number without a definition: describe the field, or "+
						"define it in docs/NUMBERS.md", name, of)
				}
			}
			visit(of+"."+name, member)
		}
		if d.Items != nil {
			visit(of, *d.Items)
		}
		for _, one := range d.OneOf {
			visit(of, one)
		}
	}
	for _, e := range catalog.Queries() {
		get, there := api.Paths["/v1/schools/{school}"+e.Info().Path]["get"]
		require.True(t, there, e.Info().Path)
		visit(e.Info().Name, get.Responses["200"].Content["application/json"].Schema)
	}
	require.Greater(t, count, 100)
}
