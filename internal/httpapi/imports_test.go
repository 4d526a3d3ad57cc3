package httpapi_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

const roster = `{"source": "sis", "complete": ["student"]}
{"kind": "student", "data": {"student_id": "s1", "given_name": "Ada", "family_name": "King", "class_id": "7a", "on": "2026-09-01"}}
{"kind": "student", "data": {"student_id": "s2", "given_name": "Mary", "family_name": "King", "class_id": "7a", "on": "2026-09-01"}}
{"kind": "student", "data": {"student_id": "s3", "given_name": "Mary", "family_name": "Lamb", "class_id": "7a", "on": "the first"}}
`

// An office uploads a package, looks at the plan, and applies it.
func TestAnOfficeImportsAPackage(t *testing.T) {
	t.Parallel()
	s := full(t)
	const path = "/v1/schools/north/imports"
	office := token(t, "north", "office", "admin")
	post := func(path, body string, headers ...string) response {
		return s.do(http.MethodPost, path, office, body, headers...)
	}
	for _, stranger := range []string{
		token(t, "north", "t1", "teacher"), token(t, "south", "office", "admin"),
		token(t, "north", "reader", "events:read"),
	} {
		require.Equal(t, http.StatusForbidden,
			s.do(http.MethodPost, path, stranger, roster).problem(t).Status)
	}
	require.Equal(t, http.StatusUnsupportedMediaType,
		post(path, roster, "Content-Encoding", "br").problem(t).Status)
	require.Contains(t, post(path, "name,class\nAda,7a\n").problem(t).Detail,
		"line 1 of the package is no header")
	require.Equal(t, http.StatusUnprocessableEntity, post(path+"?adopt=perhaps", roster).problem(t).Status)

	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, _ = zip.Write([]byte(roster)) // a buffer does not fail
	require.NoError(t, zip.Close())
	var plan, same imports.Plan
	created := post(path, roster, "Content-Type", "application/x-ndjson")
	require.Equal(t, http.StatusCreated, created.StatusCode, string(created.body))
	require.NoError(t, json.Unmarshal(created.body, &plan))
	require.Equal(t, path+"/"+plan.ID, created.Header.Get("Location"))
	require.NoError(t, json.Unmarshal(post(path, zipped.String(), "Content-Encoding", "gzip").body, &same))
	require.Equal(t, plan.ID, same.ID, "however it was sent")
	require.Equal(t, map[string]int64{"schoolbell.student.enrolled.v1": 2}, plan.Events)
	require.Equal(t, "line 4", plan.Refused[0].At[0])
	require.NotContains(t, string(created.body), "Lamb")

	events := s.get(path+"/"+plan.ID+"/events", office)
	require.Equal(t, 2, strings.Count(string(events.body), "\n"))
	applied := post(path+"/"+plan.ID+"/apply", `{}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, applied.StatusCode, string(applied.body))
	require.NoError(t, json.Unmarshal(applied.body, &plan))
	require.Equal(t, imports.Applied, plan.State)
	require.Equal(t, "office", plan.AppliedBy)
	require.Equal(t, http.StatusOK, s.get("/v1/schools/north/students/s2", office,
		"Schoolbell-Min-Position", plan.AppliedAt.String()).StatusCode)
	log := string(s.get("/v1/schools/north/events", office).body)
	require.Equal(t, 1, strings.Count(log, "schoolbell.import.applied.v1"))

	// One of the two students is gone: that is half of them.
	gone := strings.Replace(roster, `"student_id": "s2"`, `"student_id": "s9"`, 1)
	gone = strings.Replace(gone, `"on": "the first"`, `"on": "2026-09-01"`, 1)
	require.NoError(t, json.Unmarshal(post(path, gone).body, &plan))
	refused := post(path+"/"+plan.ID+"/apply", `{"consent": {"withdraw": 2}}`, "Content-Type", "application/json").problem(t)
	require.Equal(t, http.StatusConflict, refused.Status)
	require.Equal(t, "/consent/withdraw", *refused.Errors[0].Pointer)
	require.Equal(t, http.StatusOK, post(path+"/"+plan.ID+"/apply", `{"consent": {"withdraw": 1}}`,
		"Content-Type", "application/json").StatusCode)

	var list struct {
		Imports []imports.Plan `json:"imports"`
	}
	require.NoError(t, json.Unmarshal(s.get(path, office).body, &list))
	require.Len(t, list.Imports, 2)
	require.Equal(t, plan.ID, list.Imports[0].ID)
	require.Equal(t, http.StatusConflict, post(path+"/"+plan.ID+"/cancel", "").problem(t).Status,
		"it is applied")
	require.NoError(t, json.Unmarshal(post(path, roster).body, &plan))
	for range 2 {
		cancelled := post(path+"/"+plan.ID+"/cancel", "")
		require.Equal(t, http.StatusOK, cancelled.StatusCode, string(cancelled.body))
		require.NoError(t, json.Unmarshal(cancelled.body, &plan))
		require.Equal(t, imports.Cancelled, plan.State)
		require.Equal(t, "office", plan.CancelledBy)
	}
	require.Contains(t, post(path+"/"+plan.ID+"/apply", `{}`, "Content-Type", "application/json").
		problem(t).Detail, "was cancelled by")
	require.Empty(t, s.get(path+"/"+plan.ID+"/events", office).body)
	require.NoError(t, json.Unmarshal(s.get(path+"?state=cancelled", office).body, &list))
	require.Len(t, list.Imports, 1)
	require.Equal(t, http.StatusNotFound, post(path+"/unknown/cancel", "").problem(t).Status)
	require.Equal(t, http.StatusNotFound, s.get(path+"/unknown", office).problem(t).Status)
	require.Equal(t, http.StatusForbidden,
		s.get(strings.Replace(path, "north", "south", 1)+"/"+plan.ID, office).problem(t).Status)
}

// An import that is larger than what one request may write is answered before the server's limit,
// and goes on with each request. Here the clock leaps by more than that with each look at it.
func TestALargeImportIsAppliedByManyRequests(t *testing.T) {
	t.Parallel()
	var leaps atomic.Int64
	began := time.Now()
	s := full(t, func(_ *httpapi.Config, d *httpapi.Deps) {
		d.Imports.Now = func() time.Time {
			return began.Add(time.Duration(leaps.Add(1)) * 20 * time.Second)
		}
	})
	const path, students = "/v1/schools/north/imports", 2500
	office := token(t, "north", "office", "admin")
	var body strings.Builder
	body.WriteString(`{"source": "sis", "complete": ["student"]}` + "\n")
	for i := range students {
		fmt.Fprintf(&body, `{"kind": "student", "data": {"student_id": "s%d", "given_name": "Ada", `+
			`"family_name": "King", "class_id": "7a", "on": "2026-09-01"}}`+"\n", i)
	}
	var plan imports.Plan
	created := s.do(http.MethodPost, path, office, body.String())
	require.Equal(t, http.StatusCreated, created.StatusCode, string(created.body))
	require.NoError(t, json.Unmarshal(created.body, &plan))
	for _, written := range []int64{1000, 2000, students} {
		r := s.do(http.MethodPost, path+"/"+plan.ID+"/apply", office, `{}`,
			"Content-Type", "application/json")
		require.NoError(t, json.Unmarshal(r.body, &plan), string(r.body))
		require.Equal(t, written, plan.Written)
		if written < students {
			require.Equal(t, http.StatusAccepted, r.StatusCode)
			require.Equal(t, "1", r.Header.Get("Retry-After"))
			require.Equal(t, imports.Applying, plan.State)
			var shown imports.Plan
			require.NoError(t, json.Unmarshal(s.get(path+"/"+plan.ID, office).body, &shown))
			require.Equal(t, written, shown.Written, "anybody sees how far it is")
			continue
		}
		require.Equal(t, http.StatusOK, r.StatusCode)
		require.Empty(t, r.Header.Get("Retry-After"))
		require.Equal(t, imports.Applied, plan.State)
	}
}
