package facts_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/facts"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
	"github.com/schoolbell/schoolbell/consumers/provider/faulty"
	"github.com/schoolbell/schoolbell/consumers/provider/twilio"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/delivery"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

var (
	today  = domain.DateOf(time.Now().UTC())
	number atomic.Int64 // of events
)

// say writes events, each with an id of its own, in one request.
func (w *world) say(school string, events ...domain.Event) {
	w.t.Helper()
	records := make([]eventlog.Record, len(events))
	for i, e := range events {
		var err error
		records[i], err = cloudevents.Encode(&domain.Envelope{
			ID: fmt.Sprint("said-", number.Add(1)), Source: "test", School: school, Time: time.Now(), Data: e,
		})
		require.NoError(w.t, err)
	}
	_, err := w.log.Append(w.t.Context(), school, records)
	require.NoError(w.t, err)
}

// deliver executes what is planned, by an SMS service.
func (w *world) deliver(service *faulty.SMS) (stop func()) {
	w.t.Helper()
	book, err := wording.Open()
	require.NoError(w.t, err)
	sms, err := twilio.New(twilio.Config{
		URL: service.URL, Account: "AC1", Token: "secret", From: "+15005550006",
		Writer: provider.Writer{Catalog: book},
	})
	require.NoError(w.t, err)
	planners, err := consumers.NewPlanners(plan.Planners()...)
	require.NoError(w.t, err)
	reached := checkpoint.NewPositions(w.pool.Acquire, set)
	stopPositions := start(w.t, reached.Run)
	checker := consumers.Checker{
		Planners: planners, Facts: facts.New(w.pool, set).Snapshot, Settings: ledger.NewSettings(w.jobs),
		Reach: checkpoint.Reach(w.log.Bounds, reached),
	}
	l, err := ledger.New(ledger.Config{
		Pool: w.jobs, Encode: cloudevents.Encode, Decode: cloudevents.Decode, Log: w.log, Source: w.log,
		Check:     checker.Check,
		Providers: map[consumers.Channel]consumers.Provider{consumers.SMS: sms},
		RetryMin:  10 * time.Millisecond, RetryMax: 50 * time.Millisecond,
	})
	require.NoError(w.t, err)
	stopJobs := start(w.t, l.Run)
	return func() { stopJobs(); stopPositions() }
}

// done waits until everything is planned and nothing waits for a worker, except what has no provider.
func (w *world) done() {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		w.planned()
		var n int
		require.NoError(w.t, w.jobs.QueryRow(w.t.Context(), `SELECT
			(SELECT count(*) FROM schoolbell.ledger WHERE channel = 'sms' AND state IN ('planned', 'sending', 'unknown')) +
			(SELECT count(*) FROM schoolbell.ledger_outbox)`).Scan(&n))
		return n == 0
	}, time.Minute, 20*time.Millisecond)
}

// ends lists what became of the texts of a school, in the order of the log.
func (w *world) ends(school string) (all []string) {
	w.t.Helper()
	rows, err := w.jobs.Query(w.t.Context(), `SELECT planner, recipient, state, error FROM schoolbell.ledger
		WHERE school = $1 AND channel = 'sms' ORDER BY log_offset, recipient`, school)
	require.NoError(w.t, err)
	defer rows.Close()
	for rows.Next() {
		var planner, recipient, state, text string
		require.NoError(w.t, rows.Scan(&planner, &recipient, &state, &text))
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", planner, recipient, state, text)))
	}
	require.NoError(w.t, rows.Err())
	return all
}

func mark(session, status string) *attendance.Marked {
	return &attendance.Marked{
		StudentID: "s1", ClassID: "7a", Date: today, Session: session, Status: status,
	}
}

func correct(session, status string) *attendance.Corrected {
	return (*attendance.Corrected)(mark(session, status))
}

func on(day domain.Date, m *attendance.Marked) *attendance.Marked {
	m.Date = day
	return m
}

const (
	absent  = attendance.AbsentUnexcused
	present = attendance.Present
	late    = attendance.Late
	excused = attendance.AbsentExcused

	told  = "absence g1 sent"
	taken = "absence_corrected g1 sent"
	wrong = "absence g1 cancelled overtaken: the absence has been corrected"
)

// TestP5_AMessageIsSentOnlyWhileItIsTrue is a school for each of the ways in which the reason of a
// text may go, or come twice: before the text goes out (waiting), or afterwards. What was texted is
// counted by the service.
func TestP5_AMessageIsSentOnlyWhileItIsTrue(t *testing.T) {
	t.Parallel()
	type events = []domain.Event
	cases := map[string]struct {
		settings *consumers.Settings
		first    events // in one request, and planned
		waiting  events // before anything is sent
		changed  *consumers.Settings
		after    []events // each when all texts have gone out
		ends     []string
		number   string // the only one that is texted
	}{
		"an absence": {first: events{mark("day", absent)}, ends: []string{told}},
		"corrected":  {first: events{mark("day", absent)}, waiting: events{correct("day", present)}, ends: []string{wrong}},
		"excused":    {first: events{mark("day", absent)}, waiting: events{correct("day", excused)}, ends: []string{wrong}},
		"marked again": {
			first: events{mark("day", absent)}, waiting: events{mark("day", late)}, ends: []string{wrong},
		},
		"corrected in one request": {first: events{mark("day", absent), correct("day", late)}},
		"a new number": {
			first:   events{mark("day", absent)},
			waiting: events{&guardian.ContactChanged{GuardianID: "g1", Phone: "+447911123999"}},
			ends:    []string{told}, number: "+447911123999",
		},
		"no number": {
			first:   events{mark("day", absent)},
			waiting: events{&guardian.ContactChanged{GuardianID: "g1", Email: "a@example.org"}},
			ends:    []string{"absence g1 failed no telephone number to reach g1 by"},
		},
		"withdrawn": {
			first:   events{mark("day", absent)},
			waiting: events{&student.Withdrawn{StudentID: "s1", On: today.AddDays(-20), Reason: "moved"}},
			ends:    []string{"absence g1 cancelled overtaken: the student has left"},
		},
		"unlinked": {
			first: events{mark("day", absent)}, waiting: events{&guardian.Unlinked{GuardianID: "g1", StudentID: "s1"}},
			ends: []string{
				"absence g1 cancelled overtaken: g1 has nothing to do with the student any more",
				"absence s1 failed no guardian is linked to the student",
			},
		},
		"demoted": {
			first: events{mark("day", absent)},
			waiting: events{&guardian.Linked{
				GuardianID: "g1", StudentID: "s1", Name: "Anne", Relation: "mother", Primary: false,
			}},
			ends: []string{"absence g1 failed g1 is no longer the primary guardian"},
		},
		"another guardian": {
			first: events{mark("day", absent)},
			waiting: events{
				&guardian.Unlinked{GuardianID: "g1", StudentID: "s1"},
				&guardian.Linked{
					GuardianID: "g2", StudentID: "s1", Name: "Noel", Relation: "father", Primary: true,
					Phone: "+447911123998",
				},
			},
			ends: []string{
				"absence g1 cancelled overtaken: g1 has nothing to do with the student any more", "absence g2 sent",
			},
			number: "+447911123998",
		},
		"opted out": {
			first: events{&guardian.OptedOut{GuardianID: "g1", Channel: "sms", Because: guardian.ByWish}, mark("day", absent)},
			ends:  []string{"absence g1 failed g1 does not want any messages by sms"},
		},
		"opted in again": {
			first: events{
				&guardian.OptedOut{GuardianID: "g1", Channel: "sms", Because: guardian.ByStop},
				&guardian.OptedIn{GuardianID: "g1", Channel: "sms"}, mark("day", absent),
			},
			ends: []string{told},
		},
		"opted out meanwhile": {
			first:   events{mark("day", absent)},
			waiting: events{&guardian.OptedOut{GuardianID: "g1", Channel: "sms", Because: guardian.ByStop}},
			ends:    []string{"absence g1 failed g1 does not want any messages by sms"},
		},
		"nobody": {
			first: events{&attendance.Marked{
				StudentID: "s9", ClassID: "7a", Date: today, Session: "day", Status: absent,
			}},
			ends: []string{"absence s9 failed no guardian is linked to the student"},
		},
		"another way": {
			settings: &consumers.Settings{Rules: map[string]consumers.Rule{
				"absence": {Fallback: []string{"email", "guardians"}},
			}},
			first: events{
				&guardian.ContactChanged{GuardianID: "g1"},
				&guardian.Linked{
					GuardianID: "g2", StudentID: "s1", Name: "Noel", Relation: "father", Phone: "+447911123997",
				},
				mark("day", absent),
			},
			after:  []events{{correct("day", present)}},
			ends:   []string{"absence g2 sent", "absence_corrected g2 sent"},
			number: "+447911123997",
		},
		"switched off": {
			first:   events{mark("day", absent)},
			changed: &consumers.Settings{Rules: map[string]consumers.Rule{"absence": {Off: true}}},
			ends:    []string{"absence g1 cancelled overtaken: the school has switched the rule off"},
		},
		"saved twice": {
			first: events{mark("day", absent)}, waiting: events{mark("day", absent)},
			after: []events{{mark("day", absent)}}, ends: []string{told},
		},
		"a reason is added": {
			first: events{mark("day", absent)}, after: []events{{correct("day", absent)}}, ends: []string{told},
		},
		"six periods": {
			first: events{
				mark("p1", absent), mark("p2", absent), mark("p3", absent), mark("p4", absent), mark("p5", absent),
				mark("p6", absent),
			},
			after: []events{{mark("p7", absent)}}, ends: []string{told},
		},
		"each period": {
			settings: &consumers.Settings{Rules: map[string]consumers.Rule{"absence": {Per: consumers.PerSession}}},
			first:    events{mark("p1", absent), mark("p2", absent), mark("p1", absent)},
			after:    []events{{correct("p2", present)}}, ends: []string{told, told, taken},
		},
		"a period is corrected": {
			first: events{mark("p1", absent), mark("p2", absent)}, waiting: events{correct("p1", present)},
			ends: []string{told},
		},
		"another day": {
			first: events{on(today.AddDays(5), mark("day", absent)), on(today.AddDays(-9), mark("day", absent))},
		},
		"corrected after it was sent": {
			first: events{mark("day", absent)}, after: []events{{correct("day", late)}, {correct("day", present)}},
			ends: []string{told, taken},
		},
		"absent again": {
			first: events{mark("day", absent)},
			after: []events{{correct("day", present)}, {correct("day", absent)}, {correct("day", excused)}},
			ends:  []string{told, taken, told, taken},
		},
		"absent again before it was taken back": {
			first: events{mark("day", absent)}, after: []events{{correct("day", present), correct("day", absent)}},
			ends: []string{told, "absence g1 cancelled overtaken: the recipient has been told"},
		},
	}
	w := newWorld(t)
	service := faulty.NewSMS(faulty.SMSConfig{Account: "AC1", Token: "secret"})
	t.Cleanup(service.Close)
	settings := ledger.NewSettings(w.jobs)
	names := map[string]string{} // of schools
	for name, c := range cases {
		school := strings.ReplaceAll(name, " ", "-")
		names[name] = school
		if c.settings != nil {
			c.settings.School = school
			require.NoError(t, settings.Set(t.Context(), c.settings, "test"))
		}
		w.say(school, append(events{
			&student.Enrolled{StudentID: "s1", GivenName: "Kid", FamilyName: "Roy", ClassID: "7a", On: today.AddDays(-99)},
			&guardian.Linked{
				GuardianID: "g1", StudentID: "s1", Name: "Anne", Relation: "mother", Phone: phoneOf(school), Primary: true,
			},
		}, c.first...)...)
	}
	stop := w.consume()
	defer func() { stop() }()
	w.planned()
	for name, c := range cases {
		if c.waiting != nil {
			w.say(names[name], c.waiting...)
		}
		if c.changed != nil {
			c.changed.School = names[name]
			require.NoError(t, settings.Set(t.Context(), c.changed, "test"))
		}
	}
	w.planned() // so that nothing is taken back while it is being sent
	stopJobs := w.deliver(service)
	defer func() { stopJobs() }()
	w.done()
	for n := range 3 {
		for name, c := range cases {
			if n < len(c.after) {
				w.say(names[name], c.after[n]...)
			}
		}
		w.done()
	}
	texts := map[string]int{}
	for _, m := range service.Messages() {
		texts[m.To]++
	}
	cancelled := 0
	for name, c := range cases {
		ends := w.ends(names[name])
		require.ElementsMatch(t, c.ends, ends, name)
		sent := 0
		for _, end := range ends {
			if strings.HasSuffix(end, " sent") {
				sent++
			}
			if strings.Contains(end, " cancelled ") {
				cancelled++
			}
		}
		to := phoneOf(names[name])
		if c.number != "" {
			require.Zero(t, texts[to], name)
			to = c.number
		}
		require.Equal(t, sent, texts[to], name)
	}
	require.Empty(t, w.verify().Findings)
	require.Equal(t, cancelled, w.cancelled(), "each of them is an event in the log")
}

// phoneOf returns a number for each school.
func phoneOf(school string) string {
	n := 0
	for _, r := range school {
		n = (n*31 + int(r)) % 900_000
	}
	return fmt.Sprintf("+447911%06d", 100_000+n)
}

// cancelled returns of how many deliveries the log says that they are not sent.
func (w *world) cancelled() (n int) {
	w.t.Helper()
	for partition := range int32(partitions) {
		batch, err := w.log.Fetch(w.t.Context(), partition, 0, 64<<20, 0)
		require.NoError(w.t, err)
		for _, rec := range batch.Records {
			e, err := cloudevents.Decode(rec)
			require.NoError(w.t, err)
			if e.Type == delivery.TypeCancelled {
				n++
			}
		}
	}
	return n
}
