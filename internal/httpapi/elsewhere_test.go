package httpapi

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// Every path that only some processes serve has a role, also one that is new.
func TestEveryPathHasARole(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/openapi.json")
	require.NoError(t, err)
	var description struct {
		Paths map[string]any `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(b, &description))
	nothing := newElsewhere(Deps{})
	for path := range description.Paths {
		if path == "/asyncapi.json" || path == "/v1/catalog" { // all processes have them
			continue
		}
		require.NotEmpty(t, nothing.role(httptest.NewRequest(http.MethodPost, path, nil)), path)
	}
	for path, role := range map[string]string{
		"/v1/schools/north/events":                "the role ingest",
		"/v1/schools/north/imports":               "both roles ingest and api",
		"/v1/schools/north/imports/7/apply":       "both roles ingest and api",
		"/v1/schools/north/stream":                "the role realtime",
		"/v1/schools/north/users/ada/connections": "the role realtime",
		"/v1/realtime/tickets":                    "the role realtime",
		"/connection/websocket":                   "the role realtime",
		"/socket.io/":                             "the role realtime",
		"/v1/schools/north/students/s1":           "the role api",
		"/v1/schools/events/students":             "the role api",
		"/v1/operations/deliveries":               "the role api",
		"/documents/00":                           "the role api",
		"/":                                       "",
		"/favicon.ico":                            "",
	} {
		require.Equal(t, role, nothing.role(httptest.NewRequest(http.MethodGet, path, nil)), path)
	}
}
