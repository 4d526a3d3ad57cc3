package httpapi_test

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// cells are the rows of the table of routes in docs/SECURITY.md: what each role may, by the route.
// The column "scope" holds the scope that lets a token in without a role.
func cells(t testing.TB) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/SECURITY.md")
	require.NoError(t, err)
	_, table, _ := strings.Cut(string(text), "| Route |")
	table, _, _ = strings.Cut(table, "\n\n")
	lines := strings.Split(table, "\n")
	var roles []string
	for name := range strings.SplitSeq(strings.Trim(lines[0], "| "), "|") {
		roles = append(roles, strings.TrimPrefix(strings.TrimSpace(name), "or "))
	}
	rows := map[string]map[string]string{}
	for _, line := range lines[2:] {
		columns := strings.Split(strings.Trim(line, "|"), "|")
		require.Len(t, columns, len(roles)+1, line)
		row := map[string]string{}
		for i, cell := range columns[1:] {
			row[roles[i]] = strings.Trim(cell, " `")
		}
		rows[strings.Trim(columns[0], " `")] = row
	}
	return rows
}

// elsewhere are the routes that are not in the table, and are described below it.
var elsewhere = regexp.MustCompile(`^(GET /stream|POST /v1/realtime/tickets|\w+ /v1/operations/.*)$`)

func TestP10_EachRouteIsInTheTableOfRoles(t *testing.T) {
	t.Parallel()
	s := full(t, withLive(&liveCalls{}))
	rows := cells(t)
	served := map[string]bool{}
	for _, r := range routes(t, s) {
		name := r.method + " " + strings.TrimPrefix(r.path, "/v1/schools/{school}")
		served[name] = true
		if !r.public && !elsewhere.MatchString(name) {
			require.Contains(t, rows, name, "the route has no row in docs/SECURITY.md")
		}
	}
	for name := range rows {
		require.True(t, served[name], "the row %s in docs/SECURITY.md is of no route", name)
	}
}

// callers are who sends the requests of the matrix: the user of each role whose own class is 7A, and
// whose own student is own.
var callers = map[string]string{
	"admin": "boss", "office": "desk", "teacher": "t-7a", "accountant": "joe", "analyst": "ann",
	"guardian": "g-own", "student": "own",
}

// family are the events of a student with a guardian and a teacher, and of everything that is stored
// about students: enough absences to be chronic, a failed assessment and an overdue invoice. All
// texts hold the mark.
func family(student, class, mark string) []string {
	text := func(format string, args ...any) string { return fmt.Sprintf(format, args...) }
	e := []string{
		structured("e-"+student, "student.enrolled", text(`{"student_id":%q,"given_name":%q,
			"family_name":"F","class_id":%q,"on":"2026-08-01","birth_date":"2014-05-06"}`,
			student, mark, class)),
		structured("l-"+student, "guardian.linked", text(`{"guardian_id":"g-%s","student_id":%q,
			"name":"Mum of %s","relation":"mother","phone":"+15550001111","primary":true}`,
			student, student, mark)),
		structured("s-"+student, "staff.assigned", text(`{"staff_id":%q,"name":"T","role":"teacher",
			"class_ids":[%q],"subjects":[]}`, "t-"+strings.ToLower(class), class)),
		structured("a-"+student, "assessment.scored", text(`{"assessment_id":"a","student_id":%q,
			"class_id":%q,"subject":"maths","year":"2026","term":"1","score":1,"max_score":20}`,
			student, class)),
		structured("i-"+student, "fee.invoiced", text(`{"invoice_id":"i-%s","student_id":%q,
			"year":"2026","term":"1","category":"tuition","amount":5,"currency":"EUR",
			"due_on":"2026-09-02"}`, student, student)),
	}
	for day := 1; day <= 16; day++ {
		status := "absent_unexcused"
		if day > 12 { // it is recorded who is there
			status = "present"
		}
		e = append(e, structured(text("m-%s-%d", student, day), "attendance.marked",
			text(`{"student_id":%q,"class_id":%q,"date":"2026-09-%02d","session":"day",
				"status":%q,"reason":"why %s"}`, student, class, day, status, mark)))
	}
	return e
}

// The matrix: every route, for every role, about what is the caller's own, about others of the
// school, and about another school, against the table in docs/SECURITY.md.
func TestP10_RoutesOfEachRole(t *testing.T) {
	t.Parallel()
	s := full(t, withLive(&liveCalls{}))
	own, other, foreign := "Ownia", "Otheria", "Foreignia"
	at := s.publish("north", append(family("own", "7A", own), family("oth", "8B", other)...)...)
	s.publish("south", family("own", "7A", foreign)...)
	s.get("/v1/schools/north/school", token(t, "north", "boss", "admin"),
		"Schoolbell-Min-Position", at)

	ids := map[string]map[bool]string{
		"/students/": {true: "own", false: "oth"}, "/classes/": {true: "7A", false: "8B"},
		"/guardians/": {true: "g-own", false: "g-oth"}, "/staff/": {true: "t-7a", false: "t-8b"},
	}
	fill := func(path string, mine bool) string {
		for prefix, id := range ids {
			if strings.HasPrefix(path, prefix) {
				return placeholder.ReplaceAllString(path, id[mine])
			}
		}
		return placeholder.ReplaceAllString(path, "x")
	}
	for name, row := range cells(t) {
		method, path, _ := strings.Cut(name, " ")
		send := func(school, token string, mine bool) response {
			return s.do(method, "/v1/schools/"+school+fill(path, mine), token, "{}",
				"Content-Type", cloudevents.StructuredType)
		}
		for role, subject := range callers {
			cell := row[role]
			bearer := token(t, "north", subject, role)
			for _, mine := range []bool{true, false} {
				r := send("north", bearer, mine)
				refused := cell == "–" || cell == "own" && !mine
				if refused != (r.StatusCode == http.StatusForbidden) { // all wrong cells in one run
					t.Errorf("%s as %s, own: %t: want %s, got %d", name, role, mine, cell, r.StatusCode)
					continue
				}
				require.NotEqual(t, http.StatusUnauthorized, r.StatusCode)
				body := string(r.body)
				require.NotContains(t, body, foreign, "%s as %s", name, role)
				if cell != "all" && (cell != "own" || mine) {
					require.NotContains(t, body, other, "%s as %s", name, role)
				}
				if cell == "numbers" {
					require.NotContains(t, body, own, "%s as %s", name, role)
				}
				if cell == "some" && mine && method == http.MethodGet {
					require.Contains(t, body, own, "%s as %s", name, role)
				}
			}
			require.Equal(t, http.StatusForbidden, send("south", bearer, true).StatusCode,
				"%s as %s at another school", name, role)
		}
		for _, scope := range []string{"events:read", "events:write"} {
			r := send("north", token(t, "north", "sis", scope), true)
			if (scope != row["scope"]) != (r.StatusCode == http.StatusForbidden) {
				t.Errorf("%s with %s: %d", name, scope, r.StatusCode)
			}
		}
	}
}
