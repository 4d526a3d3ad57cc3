package httpapi_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// A terminal at the door writes attendance, and nothing by which somebody could come to see a
// student.
func TestAScopeReachesToItsContextAlone(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	terminal := token(t, "north", "terminal", "events:write:attendance")
	publish := func(bearer string, events ...string) response {
		return s.do(http.MethodPost, "/v1/schools/north/events", bearer,
			"["+strings.Join(events, ",")+"]", "Content-Type", cloudevents.BatchType)
	}
	linked := structured("evil", "guardian.linked", `{"guardian_id":"g-evil","student_id":"s-1",
		"name":"Eve","relation":"mother","primary":true}`)
	require.Equal(t, http.StatusAccepted, publish(terminal, marked("a", "s-1", "late")).StatusCode)
	r := publish(terminal, marked("b", "s-1", "late"), linked, enrolled("s-2"))
	require.Equal(t, http.StatusForbidden, r.StatusCode)
	p := r.problem(t)
	require.Len(t, p.Errors, 2)
	require.Equal(t, 1, *p.Errors[0].Index)
	require.Equal(t, "schoolbell.guardian.linked.v1 needs the scope events:write:guardian or "+
		"events:write", p.Errors[0].Reason)
	require.Len(t, s.written("north"), 1, "all or none")

	both := token(t, "north", "sis", "events:write:student", "events:write:guardian")
	require.Equal(t, http.StatusAccepted, publish(both, linked, enrolled("s-2")).StatusCode)
	require.Equal(t, http.StatusForbidden, publish(both, marked("c", "s-1", "late")).StatusCode)
	for _, route := range []string{"POST /imports", "GET /events", "GET /imports", "POST /events/"} {
		method, path, _ := strings.Cut(route, " ")
		status := s.do(method, "/v1/schools/north"+path, terminal, roster).StatusCode
		require.NotContains(t, []int{http.StatusOK, http.StatusAccepted, http.StatusCreated}, status,
			route)
	}
	require.Equal(t, http.StatusForbidden, s.do(http.MethodPost, "/v1/schools/south/events",
		terminal, marked("a", "s-1", "late"), "Content-Type", cloudevents.StructuredType).StatusCode)
}

// With a scope for each other context, every fact that decides who sees whom is refused.
func TestTheDirectoryIsWrittenByItsOwnScopesOnly(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	for _, f := range catalog.Facts() {
		if f.Reserved {
			continue
		}
		context, fact, version := f.Name()
		event, err := os.ReadFile(fmt.Sprintf("../../domain/%s/testdata/%s.v%d.json", context, fact,
			version))
		require.NoError(t, err)
		for scope, want := range map[string]int{
			"events:write:" + context:       http.StatusAccepted,
			"events:write":                  http.StatusAccepted,
			"events:write:" + context + "x": http.StatusForbidden,
			"events:write:*":                http.StatusForbidden,
		} {
			r := s.do(http.MethodPost, "/v1/schools/northfield/events",
				token(t, "northfield", "sis", scope), string(event), "Content-Type", cloudevents.StructuredType)
			require.Equal(t, want, r.StatusCode, "%s with %s: %s", f.Type, scope, r.body)
		}
	}
}
