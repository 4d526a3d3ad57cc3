package httpapi_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/students"
)

// table reads a CSV response as what its rows say of each column.
func table(t testing.TB, r response) (rows []map[string]string) {
	t.Helper()
	require.Equal(t, http.StatusOK, r.StatusCode, string(r.body))
	require.Equal(t, "text/csv; charset=utf-8; header=present", r.Header.Get("Content-Type"))
	require.Contains(t, r.Header.Values("Vary"), "Accept")
	require.NotEmpty(t, r.Header.Get("Schoolbell-Position"))
	records, err := csv.NewReader(bytes.NewReader(r.body)).ReadAll()
	require.NoError(t, err)
	require.NotEmpty(t, records, "a header row")
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func TestEveryQueryHasItsTablesAsCSV(t *testing.T) {
	t.Parallel()
	s := full(t)
	var events []string
	const many = 1203 // pages of at most 500
	for i := range many {
		events = append(events, structured(fmt.Sprintf("e-%d", i), "student.enrolled", fmt.Sprintf(
			`{"student_id":"s-%04d","given_name":"Zoë \"Z\", of Oak","family_name":"=SUM(A1)",
				"class_id":"c-%d","on":"2026-09-01"}`, i, i%2)))
	}
	events = append(events, structured("l", "guardian.linked", link),
		structured("g", "guardian.linked", `{"guardian_id":"g-1","student_id":"s-0001","name":"Gil",
			"relation":"mother","primary":true,"phone":"+491701234567"}`),
		structured("t", "staff.assigned",
			`{"staff_id":"t-1","name":"T","role":"teacher","class_ids":["c-0"]}`),
		structured("f", "fee.invoiced", `{"invoice_id":"i","student_id":"s-0001","year":"1",
			"term":"1","category":"c","amount":500,"currency":"EUR","due_on":"2026-10-01"}`),
		marked("m", "s-0001", "late"))
	s.publish("north", events[:1000]...)
	at := s.publish("north", events[1000:]...)
	admin := token(t, "north", "u", "admin")

	for _, e := range catalog.Queries() {
		info := e.Info()
		path := "/v1/schools/north" + strings.NewReplacer("/students/{id}", "/students/s-0001",
			"/classes/{id}", "/classes/c-1", "/guardians/{id}", "/guardians/g-1",
			"/staff/{id}", "/staff/t-1", "/deliveries/{id}", "/deliveries/none").Replace(info.Path)
		for i, of := range info.Tables {
			r := s.get(path+"?format=csv&table="+of.Name, admin, "Schoolbell-Min-Position", at)
			if strings.HasSuffix(path, "/none") {
				require.Equal(t, http.StatusNotFound, r.StatusCode, path)
				r.problem(t)
				continue
			}
			table(t, r)
			require.Contains(t, r.Header.Get("Content-Disposition"), of.Name+".csv")
			if i == 0 {
				require.Equal(t, r.body, s.get(path, admin, "Accept", "text/csv, */*;q=0.1").body)
			}
		}
	}

	const list = "/v1/schools/north/students?q=zoe"
	r := s.get(list+"&format=csv", admin)
	rows := table(t, r)
	require.Len(t, rows, many, "of all pages")
	require.Equal(t, "s-0000", rows[0]["student_id"])
	require.Equal(t, "'=SUM(A1)", rows[0]["family_name"], "no spreadsheet may compute it")
	require.Equal(t, "Zoë \"Z\", of Oak", rows[0]["given_name"])
	require.True(t, strings.HasPrefix(string(r.body),
		"student_id,given_name,family_name,preferred_name,class_id,grade_level,status,guardians\r\n"))

	var paged []map[string]string
	next := list + "&format=csv&limit=500"
	for pages := 0; next != ""; pages++ {
		r := s.get(next, admin)
		paged = append(paged, table(t, r)...)
		next, _, _ = strings.Cut(strings.TrimPrefix(r.Header.Get("Link"), "<"), `>; rel="next"`)
		require.Less(t, pages, 3)
	}
	require.Equal(t, rows, paged)

	// what a role does not see in JSON it does not see here
	own := table(t, s.get(list+"&format=csv", token(t, "north", "t-1", "teacher")))
	require.Len(t, own, (many+1)/2)
	for _, row := range own {
		require.Equal(t, "c-0", row["class_id"])
	}
	one := "/v1/schools/north/students?q=s-0001&format=csv"
	require.Contains(t, table(t, s.get(one, admin))[0]["guardians"], "+491701234567")
	seen := table(t, s.get(one, token(t, "north", "a", "accountant")))[0]["guardians"]
	require.Contains(t, seen, "Gil")
	require.NotContains(t, seen, "+491701234567")
	require.Equal(t, http.StatusForbidden, s.get("/v1/schools/north/students/s-0002?format=csv",
		token(t, "north", "g-1", "guardian")).StatusCode)
	require.Contains(t, s.audited("north", "?subject=a"), "a /students?q=s-0001 REST")

	for path, reason := range map[string]string{
		"?format=xml":            "must be json or csv",
		"?table=students":        "is for CSV",
		"?format=csv&table=moon": "must be one of students",
	} {
		r := s.get("/v1/schools/north/students"+path, admin)
		require.Equal(t, http.StatusUnprocessableEntity, r.StatusCode, path)
		require.Contains(t, r.problem(t).Errors[0].Reason, reason)
	}
	for _, accept := range []string{"", "*/*", "application/json", "text/csv;q=0.5, application/json"} {
		r := s.get(list, admin, "Accept", accept)
		require.Equal(t, "application/json", r.Header.Get("Content-Type"), accept)
	}
	live, err := s.api.Query(t.Context(), auth.Principal{
		School: "north", Subject: "u", Roles: []string{"admin"},
	}, "north", "students", jsontext.Value(`{"format":"csv"}`))
	require.NoError(t, err)
	require.Contains(t, string(live), `"status":422`, "a message of a live client is JSON")
}

// brokenInput and broken are a query whose second page fails.
type brokenInput struct {
	After string `query:"after"`
	Limit int    `query:"limit" maximum:"1"`
}

type broken struct {
	Rows []struct {
		N int `json:"n"`
	} `json:"rows"`
	Next string `json:"next,omitzero"`
}

func TestATableThatIsCutOffDoesNotLookWhole(t *testing.T) {
	t.Parallel()
	fails := query.Query[brokenInput, broken]{
		Name: "broken", Path: "/analytics/broken", Impersonal: true,
		Reads: []*projections.Projection{students.Projection},
		Roles: []query.Role{query.Admin},
		Run: func(_ context.Context, _ pgx.Tx, _ query.Scope, in *brokenInput) (*broken, error) {
			if in.After != "" {
				return nil, errors.New("the database has gone")
			}
			out := &broken{Next: "more"}
			return out, json.Unmarshal([]byte(`{"rows":[{"n":1}],"next":"more"}`), out)
		},
	}
	s := full(t, func(_ *httpapi.Config, d *httpapi.Deps) {
		d.Queries = append(d.Queries, fails)
	})
	r, err := http.NewRequest(http.MethodGet,
		s.server.URL+"/v1/schools/north/analytics/broken?format=csv", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token(t, "north", "u", "admin"))
	got, err := s.server.Client().Do(r)
	if err == nil {
		defer got.Body.Close()
		_, err = io.ReadAll(got.Body)
	}
	require.Error(t, err)
	require.Contains(t, s.logs.String(), "the database has gone")
}
