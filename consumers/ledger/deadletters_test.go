package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain/log"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
)

// failed is the planning of an event that no planner could plan.
func failed(school, event string, offset int64) consumers.Planning {
	p := plan(school, event, offset)
	p.Fault = errors.New("no class")
	return p
}

func letters(t *testing.T, l *ledger.Ledger) (events []string) {
	t.Helper()
	all, err := l.DeadLetters(t.Context(), ledger.DeadLetterFilter{Limit: 100})
	require.NoError(t, err)
	for _, d := range all {
		events = append(events, d.EventID)
	}
	return events
}

func counted(t *testing.T, reg *prometheus.Registry, kind, stored string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "schoolbell_deadletters_total" &&
				m.GetLabel()[0].GetValue() == kind && m.GetLabel()[1].GetValue() == stored {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no counter of %s", kind)
	return 0
}

func TestOldDeadLettersAreRemoved(t *testing.T) {
	t.Parallel()
	w := setup(t)
	l := w.ledger(nil)
	w.commit(l, failed("s1", "old", 0), failed("s1", "young", 1))
	for event, age := range map[string]time.Duration{
		"old": deadletter.Lifetime + time.Minute, "young": deadletter.Lifetime - time.Hour,
	} {
		_, err := w.pool.Exec(t.Context(), `UPDATE schoolbell.dead_letters SET at = now() - $2::interval
			WHERE event_id = $1`, event, age)
		require.NoError(t, err)
	}
	require.Len(t, letters(t, l), 2)
	run(t, l)
	require.Eventually(t, func() bool { return len(letters(t, l)) == 1 }, 30*time.Second, 50*time.Millisecond)
	require.Equal(t, []string{"young"}, letters(t, l))
}

// A skip settles the letter of the event that it names, of its own school only, wherever the two
// meet.
func TestASkippedEventIsNoDeadLetter(t *testing.T) {
	t.Parallel()
	l := setup(t).ledger(nil)
	skip := func(school, position string, at int64) consumers.Planning {
		p := plan(school, "skip", at)
		p.Event.Type, p.Event.Data = log.TypeEventSkipped,
			&log.EventSkipped{Position: position, Reason: "a test"}
		return p
	}
	commit := func(plans ...consumers.Planning) {
		_, err := l.Commit(t.Context(), plans)
		require.NoError(t, err)
	}
	commit(failed("north", "e1", 1), failed("north", "e2", 2))
	commit(skip("south", "0:1", 3))
	require.Equal(t, []string{"e1", "e2"}, letters(t, l))
	commit(skip("north", "0:1", 4))
	require.Equal(t, []string{"e2"}, letters(t, l))
	commit(failed("north", "e1", 1), skip("north", "0:1", 4))
	require.Equal(t, []string{"e2"}, letters(t, l), "the log is read again")
}

// A school whose events cannot be planned does not fill the ledger, and all of them are counted.
func TestEventsWithoutAPlanHaveADailyLimit(t *testing.T) {
	t.Parallel()
	w, reg := setup(t), prometheus.NewRegistry()
	l := w.ledger(func(c *ledger.Config) { c.DeadLetters = deadletter.NewMetrics(reg) })
	require.Zero(t, counted(t, reg, "plan", "false"), "from the start")
	_, err := w.pool.Exec(t.Context(), `INSERT INTO schoolbell.deadletter_days (school, day, n)
		VALUES ('north', (now() AT TIME ZONE 'UTC')::date, $1)`, deadletter.DailyLimit-1)
	require.NoError(t, err)
	_, err = l.Commit(t.Context(), []consumers.Planning{
		failed("north", "e1", 1), failed("south", "e2", 2), failed("north", "e3", 3),
	})
	require.NoError(t, err)
	require.Equal(t, []string{"e1", "e2"}, letters(t, l))
	require.NoError(t, l.AddDeadLetter(t.Context(), failed("north", "e4", 4).Event.Position, "north",
		"e4", "t", "cannot be read"))
	require.NoError(t, l.AddDeadLetter(t.Context(), failed("north", "e1", 1).Event.Position, "north",
		"e1", "t", "cannot be read"))
	require.Equal(t, []string{"e1", "e2"}, letters(t, l), "the same letter is not counted again")
	require.InDelta(t, 2, counted(t, reg, "plan", "true"), 0)
	require.InDelta(t, 2, counted(t, reg, "plan", "false"), 0)
	_, err = w.pool.Exec(t.Context(), `UPDATE schoolbell.deadletter_places SET n = $1`,
		deadletter.PlaceLimit)
	require.NoError(t, err)
	_, err = l.Commit(t.Context(), []consumers.Planning{failed("west", "e5", 5)})
	require.NoError(t, err)
	require.Equal(t, []string{"e1", "e2"}, letters(t, l), "whatever schools the events name")
}
