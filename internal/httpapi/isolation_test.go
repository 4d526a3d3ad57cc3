package httpapi_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// route is one operation of OpenAPI.
type route struct {
	method, path string
	public       bool
}

func routes(t testing.TB, s *stack) []route {
	t.Helper()
	b, err := s.api.OpenAPI()
	require.NoError(t, err)
	var spec struct {
		Paths map[string]map[string]struct {
			Security *[]map[string][]string `json:"security"`
		} `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(b, &spec))
	var all []route
	for path, methods := range spec.Paths {
		for method, op := range methods {
			all = append(all,
				route{strings.ToUpper(method), path, op.Security != nil && len(*op.Security) == 0})
		}
	}
	return all
}

var placeholder = regexp.MustCompile(`\{[^}]+\}`)

func (r route) at(school string) string {
	return placeholder.ReplaceAllString(strings.Replace(r.path, "{school}", school, 1), "s-1")
}

func TestP10_EveryRouteRefusesStrangers(t *testing.T) {
	t.Parallel()
	s := full(t)
	all := routes(t, s)
	require.Greater(t, len(all), 10)
	roles := []string{
		"admin", "office", "teacher", "accountant", "guardian", "student", "operator",
		"events:read", "events:write",
	}
	for _, r := range all {
		if r.public {
			// A handshake is about an address, and reveals nothing of the school in it.
			require.True(t, r.method == http.MethodOptions || !strings.Contains(r.path, "{school}"))
			continue
		}
		send := func(school, token string, want int) {
			t.Helper()
			got := s.do(r.method, r.at(school), token, marked("e", "s-1", "late"), "Content-Type",
				cloudevents.StructuredType)
			require.Equal(t, want, got.StatusCode, "%s %s: %s", r.method, r.at(school), got.body)
			got.problem(t)
		}
		send("north", "", http.StatusUnauthorized)
		send("north", "forged", http.StatusUnauthorized)
		send("north", token(t, "south", "s-1", roles...), http.StatusForbidden)
		if strings.HasPrefix(r.path, "/v1/operations/") { // about all schools
			send("north", token(t, "north", "s-1", roles...), http.StatusForbidden)
			continue
		}
		require.Contains(t, r.path, "/v1/schools/{school}/")
		send("*", token(t, "*", "s-1", roles...), http.StatusForbidden)
		send("north", token(t, "north", "s-1"), http.StatusForbidden)
		send("%2A", token(t, "%2A", "s-1", roles...), http.StatusForbidden)
		send("a%2Fb", token(t, "a/b", "s-1", roles...), http.StatusBadRequest)
	}
}

// TestP10_NoResponseContainsAnotherSchool requests every route of three schools, whose data name
// them, with tokens of any of them.
func TestP10_NoResponseContainsAnotherSchool(t *testing.T) {
	t.Parallel()
	s := full(t)
	schools := []string{"north", "south", "east"}
	for _, school := range schools {
		name := "only-" + school
		at := s.publish(school,
			structured("e", "student.enrolled",
				fmt.Sprintf(`{"student_id":"s-1","given_name":%q,"family_name":%q,"class_id":%q,"on":"2026-09-01"}`, name, name, name)),
			structured("g", "guardian.linked",
				fmt.Sprintf(`{"guardian_id":"g-1","student_id":"s-1","name":%q,"relation":"mother","primary":true}`, name)),
			structured("m", "attendance.marked",
				fmt.Sprintf(`{"student_id":"s-1","class_id":%q,"date":"2026-09-01","session":"day","status":"late","reason":%q}`, name, name)),
			structured("i", "fee.invoiced",
				fmt.Sprintf(`{"invoice_id":%q,"student_id":"s-1","year":"2026","term":"1","category":%q,"amount":5,"currency":"EUR","due_on":"2026-10-01"}`, name, name)))
		r := s.get("/v1/schools/"+school+"/students", token(t, school, "u", "admin"),
			"Schoolbell-Min-Position", at)
		require.Contains(t, string(r.body), name)
	}
	var reads []route
	for _, r := range routes(t, s) {
		if r.method == http.MethodGet && !r.public {
			reads = append(reads, r)
		}
	}
	answered := 0
	rapid.Check(t, func(t *rapid.T) {
		bearer := rapid.SampledFrom(schools).Draw(t, "bearer")
		school := rapid.SampledFrom(schools).Draw(t, "school")
		role := rapid.SampledFrom([]string{
			"admin", "office", "teacher", "accountant", "guardian", "student",
			"events:read",
		}).Draw(t, "role")
		subject := rapid.SampledFrom([]string{"s-1", "g-1", "u"}).Draw(t, "subject")
		r := s.get(rapid.SampledFrom(reads).Draw(t, "route").at(school),
			token(s.t, bearer, subject, role))
		if bearer != school {
			require.Equal(t, http.StatusForbidden, r.StatusCode)
		}
		if r.StatusCode == http.StatusOK {
			answered++
		}
		for _, other := range schools {
			if other != bearer {
				require.NotContains(t, string(r.body), "only-"+other)
			}
		}
	})
	require.Positive(t, answered)
}

// Each part of a response is for those who may see it, also when the result was cached for another
// caller.
func TestP10_ResponsesOmitWhatARoleMayNotSee(t *testing.T) {
	t.Parallel()
	s := full(t)
	at := s.publish("north",
		structured("e", "student.enrolled",
			`{"student_id":"s-1","given_name":"Ana","family_name":"Silva","class_id":"7A","on":"2026-09-01"}`),
		structured("i", "fee.invoiced",
			`{"invoice_id":"i-1","student_id":"s-1","year":"2026","term":"1","category":"tuition","amount":5,"currency":"EUR","due_on":"2020-10-01"}`),
		structured("m", "attendance.marked",
			`{"student_id":"s-1","class_id":"7A","date":"2026-09-01","session":"day","status":"late"}`),
		structured("a", "staff.assigned", `{"staff_id":"u","name":"U","role":"teacher","class_ids":["7A"],"subjects":[]}`))
	const fees, learning = "fee", "attendance"
	for _, c := range []struct {
		path, role  string
		sees, lacks []string
	}{
		{"/students/s-1", "admin", []string{fees, learning}, nil},
		{"/students/s-1", "teacher", []string{learning}, []string{fees}},
		{"/students/s-1", "accountant", []string{fees}, []string{learning}},
		{"/students/s-1/timeline", "admin", []string{fees, learning}, nil},
		{"/students/s-1/timeline", "teacher", []string{learning}, []string{fees}},
		{"/analytics/at-risk", "admin", []string{fees}, nil},
		{"/analytics/at-risk", "teacher", nil, []string{fees}},
	} {
		for range 2 { // the second result is cached
			r := s.get("/v1/schools/north"+c.path, token(t, "north", "u", c.role),
				"Schoolbell-Min-Position", at)
			require.Equal(t, http.StatusOK, r.StatusCode, string(r.body))
			for _, word := range c.sees {
				require.Contains(t, string(r.body), word, "%s asks %s", c.role, c.path)
			}
			for _, word := range c.lacks {
				require.NotContains(t, string(r.body), word, "%s asks %s", c.role, c.path)
			}
		}
	}
	both := s.get("/v1/schools/north/students/s-1", token(t, "north", "u", "teacher", "accountant"))
	require.Contains(t, string(both.body), `"fees"`)
	require.Contains(t, string(both.body), `"attendance"`)
	own := s.get("/v1/schools/north/students/s-1", token(t, "north", "s-1", "student"))
	require.Contains(t, string(own.body), `"fees"`)
	require.Contains(t, string(own.body), `"attendance"`)
}
