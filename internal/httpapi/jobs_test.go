package httpapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// planned keeps deliveries because of one event, and returns their ids.
func (s *stack) planned(school, event string, deliveries ...consumers.Delivery) (ids []string) {
	s.t.Helper()
	e := &domain.Envelope{ID: event, Source: "/sis", School: school, Type: attendance.TypeMarked, Time: time.Now(), Position: domain.Position{Offset: 7}}
	for i := range deliveries {
		d := &deliveries[i]
		d.Template = "absence"
		d.Complete(e, "absence")
		ids = append(ids, d.ID)
	}
	n, err := s.ledger.Commit(s.t.Context(), []consumers.Planning{{Event: consumers.Event{Envelope: e, AppendedAt: e.Time}, Deliveries: deliveries}})
	require.NoError(s.t, err)
	require.Equal(s.t, len(deliveries), n)
	return ids
}

func sms(recipient string) consumers.Delivery {
	return consumers.Delivery{Recipient: recipient, Channel: consumers.SMS, Address: "+22501020304", Params: map[string]any{"student": "Ada"}}
}

// turn puts deliveries into a state, as if somebody had worked on them.
func (s *stack) turn(state consumers.State, ids ...string) {
	s.t.Helper()
	for _, id := range ids {
		_, err := s.jobs.Conns().Exec(s.t.Context(), `
			WITH changed AS (UPDATE ledger SET state = $2, attempts = 10, fence = 10, error = 'no answer' WHERE id = $1 RETURNING id, school)
			INSERT INTO ledger_trouble SELECT id, school, $2 FROM changed WHERE $2 IN ('dead', 'unknown')`, id, state)
		require.NoError(s.t, err)
	}
}

func decoded[T any](t testing.TB, r response) (v T) {
	t.Helper()
	require.Equal(t, http.StatusOK, r.StatusCode, string(r.body))
	require.NoError(t, json.Unmarshal(r.body, &v), string(r.body))
	return v
}

func TestAdministratorsLookAfterTheJobsOfTheirSchool(t *testing.T) {
	t.Parallel()
	s := full(t)
	admin := token(t, "north", "ada", "admin")
	ids := s.planned("north", "e1", sms("g1"), sms("g2"), sms("g3"), sms("g4"))
	s.planned("south", "e1", sms("g1"))
	s.turn(consumers.Dead, ids[0], ids[1])
	s.turn(consumers.Unknown, ids[2])

	const jobs = "/v1/schools/north/jobs"
	dead := decoded[httpapi.Jobs](t, s.get(jobs+"?state=dead", admin))
	require.Len(t, dead.Jobs, 2)
	require.Empty(t, dead.Next)
	require.Len(t, decoded[httpapi.Jobs](t, s.get(jobs+"?state=planned&queue=sms&event=e1&planner=absence", admin)).Jobs, 1)
	require.Empty(t, decoded[httpapi.Jobs](t, s.get(jobs+"?queue=pdf", admin)).Jobs)

	seen, next := map[string]bool{}, ""
	for range 4 {
		page := decoded[httpapi.Jobs](t, s.get(jobs+"?limit=1&after="+next, admin))
		require.Len(t, page.Jobs, 1)
		seen[page.Jobs[0].ID] = true
		next = page.Next
	}
	require.Len(t, seen, 4)
	require.Empty(t, next)

	retried := decoded[ledger.Entry](t, s.do(http.MethodPost, jobs+"/"+ids[0]+"/retry", admin, ""))
	require.Equal(t, consumers.Planned, retried.State)
	require.Equal(t, "ada", retried.Log[len(retried.Log)-1].Detail, "who did it is written down")
	require.Equal(t, consumers.Failed, decoded[ledger.Entry](t, s.do(http.MethodPost, jobs+"/"+ids[2]+"/discard", admin, "")).State)
	require.Equal(t, consumers.Cancelled, decoded[ledger.Entry](t, s.do(http.MethodPost, jobs+"/"+ids[3]+"/cancel", admin, "")).State)
	again := s.do(http.MethodPost, jobs+"/"+ids[3]+"/cancel", admin, "")
	require.Equal(t, http.StatusConflict, again.problem(t).Status)
	require.Contains(t, again.problem(t).Detail, "is cancelled: it cannot be cancelled")
	shown := s.get(jobs+"/"+ids[0], admin)
	require.NotContains(t, string(shown.body), "+225", "addresses are nobody's business")
	require.Equal(t, "private, no-store", shown.Header.Get("Cache-Control"))

	for path, parameter := range map[string]string{
		"?state=asleep": "query.state", "?queue=fax": "query.queue", "?limit=0": "query.limit", "?after=nothing": "query.after", "?sate=dead": "query.sate",
	} {
		r := s.get(jobs+path, admin)
		require.Equal(t, http.StatusUnprocessableEntity, r.StatusCode, path)
		require.Equal(t, parameter, r.problem(t).Errors[0].Parameter)
	}
}

func TestP10_JobsOfAnotherSchoolDoNotExist(t *testing.T) {
	t.Parallel()
	s := full(t)
	admin := token(t, "north", "ada", "admin")
	theirs := s.planned("south", "only-south", sms("g1"))[0]
	s.turn(consumers.Dead, theirs)
	const jobs = "/v1/schools/north/jobs"
	require.Empty(t, decoded[httpapi.Jobs](t, s.get(jobs, admin)).Jobs)
	require.Equal(t, http.StatusNotFound, s.get(jobs+"/"+theirs, admin).problem(t).Status)
	for _, verb := range []string{"retry", "discard", "cancel"} {
		r := s.do(http.MethodPost, jobs+"/"+theirs+"/"+verb, admin, "")
		require.Equal(t, http.StatusNotFound, r.problem(t).Status, verb)
		require.NotContains(t, string(r.body), "dead")
	}
	require.Equal(t, http.StatusUnprocessableEntity, s.get(jobs+"?after="+theirs, admin).problem(t).Status, "not even when it was planned")
	e, err := s.ledger.Show(t.Context(), theirs)
	require.NoError(t, err)
	require.Equal(t, consumers.Dead, e.State)
	for _, role := range []string{"teacher", "accountant", "guardian", "student", "events:read"} {
		require.Equal(t, http.StatusForbidden, s.get(jobs, token(t, "north", "u", role)).problem(t).Status, role)
	}
	require.Equal(t, http.StatusOK, s.get("/v1/schools/south/jobs/"+theirs, token(t, "*", "ops", "operator")).StatusCode)
}

func TestOperatorsStopAndStartQueues(t *testing.T) {
	t.Parallel()
	s := full(t)
	operator := token(t, "*", "ops", "operator")
	s.planned("north", "e1", sms("g1"), sms("g2"))
	all := decoded[httpapi.Queues](t, s.get("/v1/queues", operator))
	require.Equal(t, httpapi.Queue{Queue: "sms", Jobs: []httpapi.Depth{{Priority: 3, State: "available", Jobs: 2}}}, all.Queues[0])
	require.Len(t, all.Queues, len(ledger.Queues()))

	require.Equal(t, http.StatusConflict, s.do(http.MethodPost, "/v1/queues/sms/pause", operator, "").problem(t).Status, "nobody works on it")
	_, err := s.jobs.Conns().Exec(t.Context(), `INSERT INTO schoolbell_river.river_queue (name, updated_at) VALUES ('sms', now())`)
	require.NoError(t, err)
	require.True(t, decoded[httpapi.Queue](t, s.do(http.MethodPost, "/v1/queues/sms/pause", operator, "")).Paused)
	require.False(t, decoded[httpapi.Queue](t, s.do(http.MethodPost, "/v1/queues/sms/resume", operator, "")).Paused)
	require.Equal(t, http.StatusUnprocessableEntity, s.do(http.MethodPost, "/v1/queues/fax/pause", operator, "").problem(t).Status)
}
