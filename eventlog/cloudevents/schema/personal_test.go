package schema_test

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog/cloudevents/schema"
)

// The catalogue says whose a member is, in both of its forms.
func TestTheCatalogueSaysWhoseAMemberIs(t *testing.T) {
	t.Parallel()
	document, err := schema.JSONSchema()
	require.NoError(t, err)
	type member struct {
		Of []string `json:"x-personal"`
	}
	var parsed struct {
		Defs map[string]struct {
			Properties struct {
				Data struct {
					Properties map[string]member `json:"properties"`
				} `json:"data"`
			} `json:"properties"`
		} `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(document, &parsed))
	of := func(fact, name string) []string {
		return parsed.Defs["schoolbell."+fact+".v1"].Properties.Data.Properties[name].Of
	}
	require.Equal(t, []string{"guardian"}, of("guardian.linked", "phone"))
	require.Equal(t, []string{"guardian"}, of("guardian.details_changed", "identifiers"))
	require.Equal(t, []string{"student"}, of("student.enrolled", "birth_date"))
	require.Equal(t, []string{"staff"}, of("staff.assigned", "name"))
	require.Empty(t, of("guardian.linked", "guardian_id"))
	require.Empty(t, of("class.defined", "title"))
	require.True(t, strings.Contains(string(schema.Markdown()),
		"| `phone` | text | optional | guardian |"))
}
