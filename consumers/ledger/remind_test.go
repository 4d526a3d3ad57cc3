package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// overdue returns the overdue invoices of a school.
type overdue = func(context.Context, string, domain.Date) ([]consumers.Invoice, error)

// owed makes n invoices that are due on a day, the same for every school.
func owed(n int, dueOn domain.Date) overdue {
	all := make([]consumers.Invoice, n)
	for i := range all {
		all[i] = consumers.Invoice{
			ID: fmt.Sprintf("inv-%05d", i), StudentID: fmt.Sprint("st", i),
			Amount: 90_00, Open: 70_00, Owed: 60_00, DueOn: dueOn,
		}
	}
	return func(_ context.Context, _ string, day domain.Date) ([]consumers.Invoice, error) {
		if day <= dueOn {
			return nil, nil
		}
		return all, nil
	}
}

// office is a ledger that makes reminders, with a clock of its own.
type office struct {
	*ledger.Ledger
	clock atomic.Pointer[time.Time]
}

func (w *world) office(owed overdue, change func(*ledger.Config)) *office {
	w.t.Helper()
	o := &office{}
	o.Ledger = w.ledger(func(cfg *ledger.Config) {
		cfg.Overdue, cfg.Settings = owed, ledger.NewSettings(w.pool)
		cfg.Now = func() time.Time { return *o.clock.Load() }
		if change != nil {
			change(cfg)
		}
	})
	return o
}

func (o *office) set(now time.Time) { o.clock.Store(&now) }

// wants sets what reminders a school wants. The settings have been in force for long.
func (w *world) wants(s consumers.Settings) {
	w.t.Helper()
	require.NoError(w.t, ledger.NewSettings(w.pool).SetFrom(w.t.Context(), &s, "test", time.Unix(0, 0)))
}

// reminders returns how often the outbox and the log hold each reminder.
func (w *world) reminders() map[string]int {
	w.t.Helper()
	counts := map[string]int{}
	for _, id := range w.column(`SELECT event ->> 'id' || ' of ' || (event -> 'reminder' ->> 'invoice_id') FROM schoolbell.ledger_outbox`) {
		counts[id]++
	}
	return counts
}

func TestRemindersKeepTheSchoolsClock(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.wants(consumers.Settings{School: "oak", TimeZone: "America/Chicago", Reminders: consumers.Reminders{Max: 2, Every: 3, At: 10*60 + 30}})
	o := w.office(owed(1, domain.NewDate(2026, 9, 1)), nil)
	for _, step := range []struct {
		at   string // in UTC; Chicago is five hours behind
		made int
		why  string
	}{
		{"2026-09-03T23:00:00Z", 0, "it is overdue for two days"},
		{"2026-09-04T15:29:00Z", 0, "half past ten has not come yet"},
		{"2026-09-04T15:30:00Z", 1, "it has"},
		{"2026-09-04T15:31:00Z", 0, "the day is finished"},
		{"2026-09-05T04:59:00Z", 0, "it is the same day there until midnight"},
		{"2026-09-03T16:00:00Z", 0, "the clock was put back"},
		{"2026-09-06T16:00:00Z", 0, "two days after the first"},
		{"2026-09-11T16:00:00Z", 1, "nothing ran for days: that is made up for once"},
		{"2026-09-12T16:00:00Z", 0, "the day after"},
		{"2026-09-30T16:00:00Z", 0, "there are two at most"},
	} {
		at, err := time.Parse(time.RFC3339, step.at)
		require.NoError(t, err)
		o.set(at)
		made, err := o.Remind(t.Context())
		require.NoError(t, err)
		require.Equal(t, step.made, made, "%s: %s", step.at, step.why)
	}
	require.Len(t, w.reminders(), 2)
}

func TestOnlySchoolsThatWantThemGetReminders(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.wants(consumers.Settings{School: "oak", Name: "Oak"})
	w.wants(consumers.Settings{School: "elm", Reminders: consumers.Reminders{Max: 1}})
	o := w.office(owed(3, domain.NewDate(2026, 9, 1)), nil)
	o.set(time.Date(2026, 9, 20, 12, 0, 0, 0, time.UTC))
	made, err := o.Remind(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, made)
	require.Equal(t, []string{"elm"}, w.column(`SELECT DISTINCT school FROM schoolbell.ledger_outbox`))
}

// unreadableFor fails for one school.
func unreadableFor(broken string, others overdue) overdue {
	return func(ctx context.Context, school string, day domain.Date) ([]consumers.Invoice, error) {
		if school == broken {
			return nil, errors.New("a table is broken")
		}
		return others(ctx, school, day)
	}
}

func TestOneSchoolsErrorDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, school := range []string{"ash", "elm", "oak"} {
		w.wants(consumers.Settings{School: school, Reminders: consumers.Reminders{Max: 1}})
	}
	o := w.office(unreadableFor("elm", owed(2, domain.NewDate(2026, 9, 1))), nil)
	o.set(time.Date(2026, 9, 20, 12, 0, 0, 0, time.UTC))
	made, err := o.Remind(t.Context())
	require.ErrorContains(t, err, `remind school "elm": a table is broken`)
	require.Equal(t, 4, made)
}

// TestP5_RemindersAreMadeOnce has several processes make the same reminders at the same time, each
// cut off in the middle and started again.
func TestP5_RemindersAreMadeOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.wants(consumers.Settings{School: "oak", Reminders: consumers.Reminders{Max: 3}})
	const invoices = 3500
	noon := time.Date(2026, 9, 20, 12, 0, 0, 0, time.UTC)
	var all sync.WaitGroup
	for process := range 4 {
		all.Go(func() {
			for life := range 3 {
				ctx, die := context.WithCancel(t.Context())
				var looks atomic.Int64
				o := w.office(owed(invoices, domain.NewDate(2026, 9, 1)), func(cfg *ledger.Config) {
					cfg.Now = func() time.Time {
						if life < 2 && looks.Add(1) == int64(200+700*process+900*life) {
							die() // in the middle of making a thousand
						}
						return noon
					}
				})
				_, err := o.Remind(ctx)
				if ctx.Err() == nil {
					require.NoError(t, err)
				}
				die()
			}
		})
	}
	all.Wait()
	made := w.reminders()
	require.Len(t, made, invoices)
	for reminder, times := range made {
		require.Equal(t, 1, times, reminder)
	}
	again := w.office(owed(invoices, domain.NewDate(2026, 9, 1)), nil)
	again.set(noon)
	n, err := again.Remind(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
}

// workerInvoices is how many invoices are overdue, for a worker that reminds of them.
const workerInvoices = "LEDGER_TEST_INVOICES"

// TestP5_RemindersOfKilledProcesses has two processes make reminders that are killed with SIGKILL
// again and again, and counts what is in the log.
func TestP5_RemindersOfKilledProcesses(t *testing.T) {
	t.Parallel()
	w := setup(t)
	broker := devtest.Kafka(t)
	const invoices = 20_000
	w.wants(consumers.Settings{School: "oak", Reminders: consumers.Reminders{Max: 1, At: 1}})
	fleet := &fleet{t: t, env: append(os.Environ(), workerDatabase+"="+w.url, workerBrokers+"="+strings.Join(broker.Brokers(), ","),
		fmt.Sprint(workerInvoices, "=", invoices))}
	t.Cleanup(fleet.stop)
	fleet.start()
	fleet.start()
	through := func() bool { return len(w.column(`SELECT school FROM schoolbell.ledger_reminder_days`)) > 0 }
	made := func() bool { return w.column(`SELECT count(*)::text FROM schoolbell.ledger_reminders`)[0] != "0" }
	kills := 0
	for deadline := time.Now().Add(2 * time.Minute); !through(); {
		require.True(t, time.Now().Before(deadline), "the reminders are not made")
		if made() && kills < 3 {
			fleet.killAll()
			kills++
			fleet.start()
			fleet.start()
		}
		<-time.After(10 * time.Millisecond)
	}
	fleet.killAll()
	fleet.start() // relays what the others have left behind
	require.Eventually(t, func() bool {
		return w.column(`SELECT count(*)::text FROM schoolbell.ledger_outbox`)[0] == "0"
	}, time.Minute, 50*time.Millisecond)
	require.NotZero(t, kills)

	log := openLog(t, broker.Brokers())
	topic, err := log.Topic(t.Context())
	require.NoError(t, err)
	records, events := 0, map[string]string{}
	for partition := range topic.Partitions {
		for at := int64(0); ; {
			batch, err := log.Fetch(t.Context(), partition, at, 4<<20, 0)
			require.NoError(t, err)
			for _, rec := range batch.Records {
				e, err := cloudevents.Decode(rec)
				require.NoError(t, err)
				due, ok := e.Data.(*fee.ReminderDue)
				require.True(t, ok)
				require.Equal(t, ledger.ReminderSource, e.Source)
				records++
				events[e.ID] = due.InvoiceID
			}
			if at = batch.Next; at >= batch.HighWatermark {
				break
			}
		}
	}
	t.Logf("%d kills; %d records, %d of them repetitions under the same id, which readers drop", kills, records, records-len(events))
	require.Len(t, events, invoices)
	once := map[string]bool{}
	for _, invoice := range events {
		require.False(t, once[invoice], invoice)
		once[invoice] = true
	}
}
