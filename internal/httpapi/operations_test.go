package httpapi_test

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
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

// planned commits deliveries caused by one event, and returns their ids.
func (s *stack) planned(school, event string, deliveries ...consumers.Delivery) (ids []string) {
	s.t.Helper()
	e := &domain.Envelope{
		ID: event, Source: "/sis", School: school, Type: attendance.TypeMarked,
		Time: time.Now(), Position: domain.Position{Offset: 7},
	}
	for i := range deliveries {
		d := &deliveries[i]
		d.Template = "absence"
		d.Complete(e, "absence")
		ids = append(ids, d.ID)
	}
	n, err := s.ledger.Commit(s.t.Context(),
		[]consumers.Planning{{
			Event:      consumers.Event{Envelope: e, AppendedAt: e.Time},
			Deliveries: deliveries,
		}})
	require.NoError(s.t, err)
	require.Equal(s.t, len(deliveries), n)
	return ids
}

// announced runs the ledger, without providers, until all that was planned is in the log and has jobs.
func (s *stack) announced() {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.ledger.Run(ctx) }()
	require.Eventually(s.t, func() bool {
		n, err := s.ledger.Unsettled(s.t.Context())
		return err == nil && n == 0
	}, 30*time.Second, 10*time.Millisecond)
	stop()
	require.NoError(s.t, <-done)
}

func sms(recipient string) consumers.Delivery {
	return consumers.Delivery{
		Recipient: recipient, Channel: consumers.SMS, Address: "+22501020304",
		Params: []byte(`{"student":"Ada"}`),
	}
}

// turn puts deliveries into a state, as if workers had.
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

func TestAdministratorsDecideAboutDeliveries(t *testing.T) {
	t.Parallel()
	s := full(t)
	admin, operator := token(t, "north", "ada", "admin"), token(t, "*", "ops", "operator")
	ids := s.planned("north", "e1", sms("g1"), sms("g2"), sms("g3"), sms("g4"))
	s.turn(consumers.Dead, ids[0], ids[1])
	s.turn(consumers.Unknown, ids[2])

	const deliveries = "/v1/schools/north/deliveries/"
	decide := func(id, verb string) consumers.State {
		t.Helper()
		return decoded[httpapi.DeliveryStatus](t,
			s.do(http.MethodPost, deliveries+id+"/"+verb, admin, "")).Status
	}
	require.Equal(t, consumers.Planned, decide(ids[0], "retry"))
	require.Equal(t, consumers.Failed, decide(ids[2], "discard"))
	require.Equal(t, consumers.Cancelled, decide(ids[3], "cancel"))
	for id, state := range map[string]consumers.State{
		ids[0]: consumers.Planned,
		ids[2]: consumers.Failed, ids[3]: consumers.Cancelled,
	} {
		entry := decoded[ledger.Entry](t, s.get("/v1/operations/deliveries/"+id, operator))
		require.Equal(t, state, entry.State)
		require.Equal(t, "ada", entry.Log[len(entry.Log)-1].Detail, "who did it is in the log")
	}
	again := s.do(http.MethodPost, deliveries+ids[3]+"/cancel", admin, "")
	require.Equal(t, http.StatusConflict, again.problem(t).Status)
	require.Contains(t, again.problem(t).Detail, "is cancelled: it cannot be cancelled")
}

func TestP10_DeliveriesOfAnotherSchoolDoNotExist(t *testing.T) {
	t.Parallel()
	s := full(t)
	theirs := s.planned("south", "only-south", sms("g1"))[0]
	s.turn(consumers.Dead, theirs)
	const deliveries = "/v1/schools/north/deliveries/"
	for _, verb := range []string{"retry", "discard", "cancel"} {
		r := s.do(http.MethodPost, deliveries+theirs+"/"+verb, token(t, "north", "ada", "admin"),
			"")
		require.Equal(t, http.StatusNotFound, r.problem(t).Status, verb)
		require.NotContains(t, string(r.body), "dead")
		for _, role := range []string{
			"teacher", "accountant", "guardian", "student",
			"events:read",
		} {
			r := s.do(http.MethodPost, deliveries+theirs+"/"+verb, token(t, "north", "u", role), "")
			require.Equal(t, http.StatusForbidden, r.problem(t).Status, role)
		}
	}
	e, err := s.ledger.Show(t.Context(), theirs)
	require.NoError(t, err)
	require.Equal(t, consumers.Dead, e.State)
}

func TestOperatorsSeeDeliveriesOfAllSchools(t *testing.T) {
	t.Parallel()
	s := full(t)
	operator := token(t, "*", "ops", "operator")
	ids := s.planned("north", "e1", sms("g1"), sms("g2"), sms("g3"))
	s.planned("south", "e1", sms("g1"))
	s.turn(consumers.Dead, ids[0], ids[1])

	const all = "/v1/operations/deliveries"
	list := func(query string) httpapi.LedgerPage {
		t.Helper()
		return decoded[httpapi.LedgerPage](t, s.get(all+query, operator))
	}
	require.Len(t, list("").Deliveries, 4)
	dead := list("?state=dead")
	require.Len(t, dead.Deliveries, 2)
	require.Empty(t, dead.Next)
	require.Len(t, list("?school=north&state=planned&queue=sms&event=e1&rule=absence").Deliveries,
		1)
	require.Empty(t, list("?queue=pdf").Deliveries)
	seen, next := map[string]bool{}, ""
	for range 4 {
		page := list("?limit=1&after=" + next)
		require.Len(t, page.Deliveries, 1)
		seen[page.Deliveries[0].ID] = true
		next = page.Next
	}
	require.Len(t, seen, 4)
	require.Empty(t, next)

	shown := s.get(all+"/"+ids[0], operator)
	require.Equal(t, http.StatusOK, shown.StatusCode)
	require.NotContains(t, string(shown.body), "+225", "an address is in no response")
	require.Equal(t, "private, no-store", shown.Header.Get("Cache-Control"))
	require.Equal(t, http.StatusNotFound, s.get(all+"/nothing", operator).problem(t).Status)
	require.Zero(t,
		decoded[httpapi.Repaired](t, s.do(http.MethodPost, all+"/repair", operator, "")).Repaired)
	require.Equal(t, http.StatusUnprocessableEntity,
		s.do(http.MethodPost, all+"/repair?after=soon", operator, "").problem(t).Status)

	for path, parameter := range map[string]string{
		"?state=asleep": "query.state", "?queue=fax": "query.queue", "?limit=0": "query.limit",
		"?after=nothing": "query.after", "?sate=dead": "query.sate",
	} {
		r := s.get(all+path, operator)
		require.Equal(t, http.StatusUnprocessableEntity, r.StatusCode, path)
		require.Equal(t, parameter, r.problem(t).Errors[0].Parameter)
	}
	require.Equal(t, http.StatusForbidden,
		s.get(all, token(t, "north", "ada", "admin", "operator")).problem(t).Status)
}

func TestOperatorsPauseAndResumeQueues(t *testing.T) {
	t.Parallel()
	s := full(t)
	operator := token(t, "*", "ops", "operator")
	const queues = "/v1/operations/queues"
	require.Equal(t, http.StatusConflict,
		s.do(http.MethodPost, queues+"/sms/pause", operator, "").problem(t).Status,
		"it has no workers")
	s.planned("north", "e1", sms("g1"), sms("g2"))
	s.announced()
	all := decoded[httpapi.Queues](t, s.get(queues, operator))
	require.Equal(t, httpapi.Queue{
		Queue: "sms",
		Jobs:  []httpapi.Depth{{Priority: 3, State: "available", Jobs: 2}},
	}, all.Queues[0])
	require.Len(t, all.Queues, len(ledger.Queues()))

	_, err := s.jobs.Conns().Exec(t.Context(), `INSERT INTO schoolbell_river.river_queue
		(name, updated_at) VALUES ('sms', now()) ON CONFLICT DO NOTHING`)
	require.NoError(t, err)
	require.True(t,
		decoded[httpapi.Queue](t, s.do(http.MethodPost, queues+"/sms/pause", operator, "")).Paused)
	require.False(t,
		decoded[httpapi.Queue](t, s.do(http.MethodPost, queues+"/sms/resume", operator, "")).Paused)
	require.Equal(t, http.StatusUnprocessableEntity,
		s.do(http.MethodPost, queues+"/fax/pause", operator, "").problem(t).Status)
}

func TestOperatorsRetryDeadLetters(t *testing.T) {
	t.Parallel()
	var s *stack
	fixed := false
	s = full(t, func(_ *httpapi.Config, d *httpapi.Deps) {
		d.Consumers.Replan = func(ctx context.Context, at domain.Position) error {
			if !fixed {
				return nil
			}
			e := &domain.Envelope{
				ID: "e1", Source: "/sis", School: "north",
				Type: attendance.TypeMarked, Time: time.Now(), Position: at,
			}
			_, err := s.ledger.Commit(ctx,
				[]consumers.Planning{{Event: consumers.Event{
					Envelope: e, AppendedAt: e.Time,
					Replan: true,
				}}})
			return err
		}
	})
	operator := token(t, "*", "ops", "operator")
	require.NoError(t, s.ledger.AddDeadLetter(t.Context(),
		domain.Position{Partition: 1, Offset: 42}, "north", "e1", attendance.TypeMarked,
		"no class"))
	const letters = "/v1/operations/deadletters"
	require.Len(t,
		decoded[httpapi.DeadLetters](t, s.get(letters+"?school=north", operator)).DeadLetters, 1)
	require.Empty(t,
		decoded[httpapi.DeadLetters](t, s.get(letters+"?school=south", operator)).DeadLetters)

	require.Equal(t, http.StatusNotFound,
		s.do(http.MethodPost, letters+"/1:43/retry", operator, "").problem(t).Status)
	require.Equal(t, http.StatusNotFound,
		s.do(http.MethodPost, letters+"/1-43/retry", operator, "").problem(t).Status)
	still := s.do(http.MethodPost, letters+"/1:42/retry", operator, "")
	require.Equal(t, http.StatusConflict, still.problem(t).Status)
	require.Contains(t, still.problem(t).Detail, "no class")
	fixed = true
	require.Equal(t, http.StatusNoContent,
		s.do(http.MethodPost, letters+"/1:42/retry", operator, "").StatusCode)
	require.Empty(t, decoded[httpapi.DeadLetters](t, s.get(letters, operator)).DeadLetters)
}

// What operators say stands in logs and lists of other operators, on one line.
func TestAReasonToSkipIsOneLine(t *testing.T) {
	t.Parallel()
	s := full(t)
	operator := token(t, "*", "ops", "operator")
	for _, reason := range []string{"a\x1b[2J", "a\nb", "a\u202eb", "a\u2028b", " "} {
		refused := s.do(http.MethodPost, "/v1/operations/schools/north/parked/skip?"+
			url.Values{"subject": {"s1"}, "reason": {reason}}.Encode(), operator, "").problem(t)
		require.Equal(t, http.StatusUnprocessableEntity, refused.Status, "%q", reason)
		require.Equal(t, "query.reason", refused.Errors[0].Parameter)
	}
}

// The platform's decisions are events of a school that nobody outside can write to.
func TestNobodyWritesToThePlatformsSchool(t *testing.T) {
	t.Parallel()
	s := full(t)
	operator := token(t, "*", "ops", "operator")
	for _, door := range [][2]string{
		{http.MethodPost, "events"},
		{http.MethodPost, "imports"},
		{http.MethodPut, "settings"},
		{http.MethodPut, "logo"},
	} {
		refused := s.do(door[0], "/v1/schools/-/"+door[1], operator, "[]")
		if refused.StatusCode == http.StatusNotFound || refused.StatusCode == http.StatusMethodNotAllowed {
			t.Fatalf("there is no door %s", door)
		}
		p := refused.problem(t)
		require.Equal(t, http.StatusUnprocessableEntity, p.Status, door)
		require.Equal(t, "path.school", p.Errors[0].Parameter, door)
	}
}

// Each dead letter is on one page, whichever table it is in, and the last page says so.
func TestDeadLettersAreListedByPages(t *testing.T) {
	t.Parallel()
	s := full(t)
	_, err := s.jobs.Conns().Exec(t.Context(), `
		INSERT INTO schoolbell.dead_letters (partition, log_offset, school, event_id, type, reason)
		SELECT n % 2, n, 'north', 'planned', 't', 'no class' FROM generate_series(1, 7) n;
		INSERT INTO schoolbell.deadletters (kind, topic, partition, log_offset, last_offset, school,
			event_id, type, faults) SELECT 'inbox', 'in', 1, n, n, 'north', 'refused', 't', '[]'
		FROM generate_series(1, 7) n`)
	require.NoError(t, err)
	for path, bearer := range map[string]string{
		"/v1/operations/deadletters":    token(t, "*", "ops", "operator"),
		"/v1/schools/north/deadletters": token(t, "north", "ada", "admin"),
	} {
		for _, limit := range []int{1, 3, 7, 14, 100} {
			seen, after := map[string]bool{}, ""
			for pages := 0; pages == 0 || after != ""; pages++ {
				query := url.Values{"limit": {strconv.Itoa(limit)}}
				if after != "" {
					query.Set("after", after)
				}
				page := decoded[httpapi.DeadLetters](t, s.get(path+"?"+query.Encode(), bearer))
				require.Len(t, page.DeadLetters, min(limit, 14-len(seen)))
				for _, l := range page.DeadLetters {
					require.False(t, seen[l.ID], "%s is on two pages", l.ID)
					seen[l.ID] = true
				}
				after = page.Next
			}
			require.Len(t, seen, 14, "in pages of %d", limit)
		}
	}
	require.Equal(t, http.StatusUnprocessableEntity, s.get("/v1/operations/deadletters?after=x",
		token(t, "*", "ops", "operator")).problem(t).Status)
}

func TestMovedRoutesSayWhereTheyAre(t *testing.T) {
	t.Parallel()
	s := full(t)
	for before, now := range map[string]string{
		"/v1/schools/north/jobs":          "/v1/schools/north/deliveries",
		"/v1/schools/north/jobs/d1/retry": "/v1/schools/north/deliveries/d1/retry",
		"/v1/queues/sms/pause":            "/v1/operations/queues/sms/pause",
	} {
		p := s.get(before, "").problem(t)
		require.Equal(t, http.StatusGone, p.Status)
		require.Equal(t, "this route is now "+now, p.Detail)
	}
}
