package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/ingest/authors"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

type writtenEvent struct {
	ID      string `json:"id"`
	Actor   string `json:"actor"`
	AuthSub string `json:"authsub"`
	AuthJTI string `json:"authjti"`
}

// written returns the events in a school's log.
func (s *stack) written(school string) []writtenEvent {
	s.t.Helper()
	r := s.get("/v1/schools/"+school+"/events", token(s.t, school, "reader", "events:read"))
	require.Equal(s.t, http.StatusOK, r.StatusCode, string(r.body))
	var page struct {
		Events []writtenEvent `json:"events"`
	}
	require.NoError(s.t, json.Unmarshal(r.body, &page))
	return page.Events
}

// actors returns those of a school who match a query.
func (s *stack) actors(query string) []authors.Actor {
	s.t.Helper()
	r := s.get("/v1/schools/north/actors"+query, token(s.t, "north", "head", "admin"))
	require.Equal(s.t, http.StatusOK, r.StatusCode, string(r.body))
	var page httpapi.Actors
	require.NoError(s.t, json.Unmarshal(r.body, &page))
	return page.Actors
}

// Who wrote an event is what the token says, whatever the event says itself.
func TestEventsSayWhoWroteThem(t *testing.T) {
	t.Parallel()
	s := full(t)
	const path = "/v1/schools/north/events"
	writer := token(t, "north", "terminal@school.example", "events:write")
	claimed := strings.Replace(marked("a", "s-1", "late"), `{`, `{"actor":"principal",`, 1)
	for _, forged := range []string{`{"authsub":"token:x",`, `{"authjti":"1",`, `{"authsub":"",`} {
		r := s.do(http.MethodPost, path, writer, strings.Replace(claimed, `{`, forged, 1),
			"Content-Type", "application/cloudevents+json")
		require.Equal(t, http.StatusUnprocessableEntity, r.StatusCode, string(r.body))
		require.Equal(t, "is written by Schoolbell only", r.problem(t).Errors[0].Reason)
	}
	for _, name := range []string{"Ce-Authsub", "Ce-Authjti"} {
		r := s.do(http.MethodPost, path, writer, `{}`, "Content-Type", "application/json",
			"Ce-Specversion", "1.0", name, "token:x")
		require.Contains(t, string(r.body), "is written by Schoolbell only")
	}
	for _, bearer := range []string{
		writer, token(t, "*", "terminal@school.example", "operator"), writer,
	} {
		r := s.do(http.MethodPost, path, bearer, claimed,
			"Content-Type", "application/cloudevents+json")
		require.Equal(t, http.StatusAccepted, r.StatusCode, string(r.body))
		claimed = strings.Replace(claimed, `"id":"a`, `"id":"aa`, 1)
	}
	events := s.written("north")
	require.Len(t, events, 3)
	require.Equal(t, events[0].AuthSub, events[2].AuthSub)
	require.NotEqual(t, events[0].AuthSub, events[1].AuthSub, "an operator is somebody else")
	for _, e := range events {
		require.Equal(t, "principal", e.Actor, "a claim stays one")
		require.NotEmpty(t, e.AuthJTI)
		require.NotContains(t, e.AuthSub, "terminal")
	}
	who := s.actors("?actor=" + events[0].AuthSub)
	require.Len(t, who, 1)
	require.Equal(t, "terminal@school.example", who[0].Subject)
	require.Len(t, s.actors(""), 2)
	require.Len(t, s.actors("?limit=1"), 1)
	for _, stranger := range []string{writer, token(t, "south", "head", "admin")} {
		require.Equal(t, http.StatusForbidden,
			s.get("/v1/schools/north/actors", stranger).StatusCode)
	}
}

func TestAnImportSaysWhoAppliedIt(t *testing.T) {
	t.Parallel()
	s := full(t)
	office := token(t, "north", "office@school.example", "admin")
	r := s.do(http.MethodPost, "/v1/schools/north/imports", office, roster)
	require.Equal(t, http.StatusCreated, r.StatusCode, string(r.body))
	r = s.do(http.MethodPost, r.Header.Get("Location")+"/apply", office, `{}`,
		"Content-Type", "application/json")
	var plan imports.Plan
	require.NoError(t, json.Unmarshal(r.body, &plan))
	require.Equal(t, imports.Applied, plan.State, string(r.body))
	who := s.actors("?subject=office@school.example")
	require.Len(t, who, 1)
	events := s.written("north")
	require.Len(t, events, 3, "two students, and the end")
	for _, e := range events {
		require.Equal(t, who[0].Actor, e.AuthSub)
		require.Empty(t, e.Actor)
	}
}
