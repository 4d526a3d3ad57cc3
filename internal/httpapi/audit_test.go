package httpapi_test

import (
	"cmp"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/audit"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// audited returns the records of a school, each as reader, thing, channel and whether it was refused.
func (s *stack) audited(school, query string) map[string]int64 {
	s.t.Helper()
	require.NoError(s.t, s.trail.Flush(s.t.Context()))
	r := s.get("/v1/schools/"+school+"/audit"+query, token(s.t, school, "head", "admin"))
	require.Equal(s.t, http.StatusOK, r.StatusCode, string(r.body))
	var page httpapi.Audit
	require.NoError(s.t, json.Unmarshal(r.body, &page))
	found := map[string]int64{}
	for _, record := range page.Records {
		if record.Subject == "head" { // reads the audit
			require.Equal(s.t, "/audit", record.Thing[:len("/audit")])
			continue
		}
		line := record.Subject + " " + record.Thing + " " + record.Channel
		if record.Refused {
			line += " refused"
		}
		require.Zero(s.t, found[line], "one record: %s", line)
		found[line] = record.Count
	}
	return found
}

func TestWhoReadsAStudentIsRecorded(t *testing.T) {
	t.Parallel()
	s := full(t)
	at := s.publish("north", append(family("own", "7A", "Ownia"), family("oth", "8B", "Otheria")...)...)
	boss, mum := token(t, "north", "boss", "admin"), token(t, "north", "g-own", "guardian")
	teacher := token(t, "north", "t-7a", "teacher")
	const path = "/v1/schools/north"
	first := s.get(path+"/students/own", boss, "Schoolbell-Min-Position", at)
	require.Equal(t, http.StatusOK, first.StatusCode, string(first.body))
	s.get(path+"/students/own", boss)
	require.Equal(t, http.StatusNotModified, s.get(path+"/students/own", boss, "If-None-Match",
		first.Header.Get("Etag")).StatusCode)
	s.get(path+"/students?limit=1&class=7A", boss)
	s.get(path+"/students?class=7A&limit=2", boss)
	s.get(path+"/students/own/timeline", mum)
	require.Equal(t, http.StatusForbidden, s.get(path+"/students/oth", mum).StatusCode)
	require.Equal(t, http.StatusForbidden, s.get(path+"/students/oth", teacher).StatusCode)
	require.Equal(t, http.StatusForbidden, s.get(path+"/students?q=a", mum).StatusCode)
	require.Equal(t, http.StatusForbidden, s.get("/v1/schools/south/students", teacher).StatusCode)
	terminal := token(t, "north", "door", "events:write:attendance")
	for _, refused := range []struct{ method, path, token, body string }{
		{http.MethodPost, path + "/events", mum, enrolled("s-9")},
		{http.MethodPost, path + "/events", terminal, enrolled("s-9")},
		{http.MethodPost, "/v1/schools/south/events", terminal, marked("m", "own", "late")},
		{http.MethodPut, path + "/settings", teacher, "{}"},
		{http.MethodPost, "/v1/operations/queues/sms/pause", boss, ""},
	} {
		r := s.do(refused.method, refused.path, refused.token, refused.body, "Content-Type",
			cloudevents.StructuredType)
		require.Equal(t, http.StatusForbidden, r.StatusCode, "%+v: %s", refused, r.body)
	}
	s.get(path+"/events?limit=3", token(t, "north", "sis", "events:read"))
	_, err := s.api.Query(t.Context(), auth.Principal{
		School: "north", Subject: "t-7a", Roles: []string{"teacher"},
	}, "north", "student", jsontext.Value(`{"id":"own"}`))
	require.NoError(t, err)
	for _, impersonal := range []string{
		"/analytics/overview", "/analytics/fees", "/analytics/revenue-forecast", "/school", "/settings",
	} {
		s.get(path+impersonal, boss)
	}
	s.get(path+"/analytics/attendance", token(t, "north", "ann", "analyst"))

	require.Equal(t, map[string]int64{
		"boss student:own REST":                         2,
		"boss student:own 304":                          1,
		"boss /students?class=7A REST":                  2,
		"g-own student:own REST":                        1,
		"g-own student:oth REST refused":                1,
		"t-7a student:oth REST refused":                 1,
		"g-own /students REST refused":                  1,
		"t-7a /students of another school REST refused": 1,
		"sis /events REST":                              1,
		"t-7a student:own socket read":                  1,
		"g-own POST /events REST refused":               1,
		"door POST /events REST refused":                1,
		"t-7a PUT /settings REST refused":               1,

		"door POST /events of another school REST refused":           1,
		"boss POST /v1/operations/queues/{queue}/pause REST refused": 1,
	}, s.audited("north", ""))
	require.Len(t, s.audited("north", "?thing=student:oth"), 2)
	require.Len(t, s.audited("north", "?subject=g-own"), 4)
	require.Empty(t, s.audited("north", "?to=2020-01-01T00:00:00Z"))
	require.Empty(t, s.audited("south", ""))
	for _, invented := range []string{"x", base64.RawURLEncoding.EncodeToString([]byte(`{"thing":"\u0000"}`))} {
		require.Equal(t, http.StatusUnprocessableEntity,
			s.get(path+"/audit?after="+invented, boss).StatusCode)
	}
	for _, stranger := range []string{teacher, mum, token(t, "south", "head", "admin")} {
		require.Equal(t, http.StatusForbidden, s.get(path+"/audit", stranger).StatusCode)
	}
}

// Whatever a role sees of people is recorded, as is what it is refused; and no numbers are.
func TestWhateverShowsPeopleIsRecorded(t *testing.T) {
	t.Parallel()
	s := full(t, withLive(&liveCalls{}))
	s.get("/v1/schools/north/school", token(t, "north", "boss", "admin"), "Schoolbell-Min-Position",
		s.publish("north", append(family("own", "7A", "Ownia"), family("oth", "8B", "Otheria")...)...))
	ids := map[string]string{"students": "own", "classes": "7A", "guardians": "g-own", "staff": "t-7a"}
	type sent struct {
		subject, route, path, cell string
		shows, refused             bool
	}
	bearers := map[string]string{} // one for each, as a record is of one token
	for role, subject := range callers {
		bearers[role] = token(t, "north", subject, role)
	}
	var requests []sent
	for name, row := range cells(t) {
		method, route, _ := strings.Cut(name, " ")
		id := cmp.Or(ids[strings.Split(route, "/")[1]], "x")
		path := placeholder.ReplaceAllString(route, id)
		for role, subject := range callers {
			r := s.do(method, "/v1/schools/north"+path, bearers[role], "{}", "Content-Type",
				cloudevents.StructuredType)
			if method != http.MethodGet && r.StatusCode != http.StatusForbidden {
				continue // only refused writes are recorded
			}
			body := string(r.body)
			requests = append(requests, sent{
				subject, strings.TrimPrefix(name, "GET "), path, row[role],
				strings.Contains(body, "Ownia") || strings.Contains(body, "Otheria"),
				r.StatusCode == http.StatusForbidden,
			})
		}
	}
	found := s.audited("north", "?limit=1000")
	recorded := func(r sent, refused string) (n int64) {
		for _, thing := range []string{r.route, r.path, "student:own"} {
			if thing != "student:own" || strings.HasPrefix(r.route, "/students/{id}") {
				n += found[r.subject+" "+thing+" REST"+refused]
			}
		}
		return n
	}
	var shown, refused, numbers int
	for _, r := range requests {
		switch {
		case r.refused:
			refused++
			require.Positive(t, recorded(r, " refused"), "%+v", r)
		case r.shows:
			shown++
			require.Positive(t, recorded(r, ""), "%+v", r)
		case r.cell == "numbers":
			numbers++
			require.Zero(t, recorded(r, ""), "%+v", r)
		}
	}
	require.NotZero(t, shown)
	require.NotZero(t, refused)
	require.NotZero(t, numbers)
}

// Pages of the audit are all of it, once.
func TestTheAuditHasPages(t *testing.T) {
	t.Parallel()
	s := full(t)
	for _, student := range []string{"a", "b", "c", "d", "e"} {
		s.trail.Note(audit.Read{School: "north", Subject: "t", Thing: "student:" + student})
	}
	require.NoError(t, s.trail.Flush(t.Context()))
	var things []string
	after := ""
	for {
		r := s.get("/v1/schools/north/audit?limit=2&after="+after, token(t, "north", "h", "admin"))
		var page httpapi.Audit
		require.NoError(t, json.Unmarshal(r.body, &page), string(r.body))
		for _, record := range page.Records {
			if student, ok := strings.CutPrefix(record.Thing, "student:"); ok {
				things = append(things, student)
			}
		}
		if after = page.Next; after == "" {
			break
		}
	}
	require.Equal(t, []string{"e", "d", "c", "b", "a"}, things)
}

// Where reads must be recorded, those of people are refused while they cannot be, over HTTP and over
// live connections; what shows nobody is served.
func TestReadsThatCannotBeRecordedAreRefused(t *testing.T) {
	t.Parallel()
	var trail *audit.Trail
	s := full(t, func(_ *httpapi.Config, d *httpapi.Deps) {
		var err error
		trail, err = audit.New(audit.Config{
			Pool: d.Audit.Pool, Metrics: prometheus.NewRegistry(), Keep: time.Hour,
			Logger: slog.New(slog.DiscardHandler), Required: true, MaxWaiting: 1,
		})
		require.NoError(t, err)
		d.Audit = trail
	})
	at := s.publish("north", enrolled("s-1"))
	boss := token(t, "north", "boss", "admin")
	const path = "/v1/schools/north"
	status := func(route string) int { return s.get(path+route, boss).StatusCode }
	require.Equal(t, 200, s.get(path+"/students/s-1", boss, "Schoolbell-Min-Position", at).StatusCode)
	for _, people := range []string{"/students/s-1", "/students", "/events", "/inbox"} {
		require.Equal(t, http.StatusServiceUnavailable, status(people), people)
	}
	reply, err := s.api.Query(t.Context(), auth.Principal{
		School: "north", Subject: "boss", Roles: []string{"admin"},
	}, "north", "student", jsontext.Value(`{"id":"s-1"}`))
	require.NoError(t, err)
	require.Contains(t, string(reply), `"status":503`)
	for _, nobody := range []string{"/analytics/overview", "/school", "/settings"} {
		require.Equal(t, http.StatusOK, status(nobody), nobody)
	}
	require.NoError(t, trail.Flush(t.Context()))
	require.Equal(t, http.StatusOK, status("/students/s-1"))
}
