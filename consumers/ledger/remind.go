package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
)

// ReminderSource is the CloudEvents source of reminders.
const ReminderSource = "schoolbell/reminders"

// remind is the job that looks whether reminders of overdue fees are to be made. River's leader, one process of all, orders
// it again and again; it does something once a day for each school.
type remind struct{}

// Kind implements [river.JobArgs].
func (remind) Kind() string { return "remind" }

// remindPeriodically orders the job, unless one is waiting or running.
func (l *Ledger) remindPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(l.cfg.RemindEvery), func() (river.JobArgs, *river.InsertOpts) {
		return remind{}, &river.InsertOpts{Queue: QueueReminders, UniqueOpts: river.UniqueOpts{ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
		}}}
	}, &river.PeriodicJobOpts{RunOnStart: true})
}

// reminder does the job.
type reminder struct {
	river.WorkerDefaults[remind]
	ledger *Ledger
}

// Work implements [river.Worker].
func (r *reminder) Work(ctx context.Context, _ *river.Job[remind]) error {
	_, err := r.ledger.Remind(ctx)
	return err
}

// remindBatch is how many invoices are gone through in one transaction. One that is cut off is gone through again.
const remindBatch = 1000

// Remind makes the reminders that are due, for the schools whose hour has come and whose day is not through, and returns
// how many. It can be called by several processes at the same time, and again after one has died in it.
func (l *Ledger) Remind(ctx context.Context) (made int, err error) {
	schools, err := l.cfg.Settings.reminding(ctx, l.cfg.Now())
	if err != nil {
		return 0, err
	}
	var faults []error // of one school are nothing to the others
	for _, s := range schools {
		local := l.cfg.Now().In(s.Location())
		if consumers.ClockOf(local) < s.Reminders.Hour() {
			continue
		}
		n, err := l.remindSchool(ctx, s, domain.DateOf(local))
		made += n
		if err != nil {
			faults = append(faults, fmt.Errorf("remind school %q: %w", s.School, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return made, errors.Join(faults...)
}

func (l *Ledger) remindSchool(ctx context.Context, s *consumers.Settings, today domain.Date) (made int, err error) {
	var through bool
	if err := l.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM schoolbell.ledger_reminder_days WHERE school = $1 AND done >= $2)`,
		s.School, today.Time()).Scan(&through); err != nil || through {
		return 0, err
	}
	invoices, err := l.cfg.Debts.Overdue(ctx, s.School, today)
	if err != nil {
		return 0, err
	}
	for some := range slices.Chunk(invoices, remindBatch) {
		n, err := l.remindOf(ctx, s, today, some)
		if made += n; err != nil {
			return made, err
		}
	}
	if _, err := l.pool.Exec(ctx, `
		INSERT INTO schoolbell.ledger_reminder_days AS d (school, done) VALUES ($1, $2)
		ON CONFLICT (school) DO UPDATE SET done = greatest(d.done, excluded.done)`, s.School, today.Time()); err != nil {
		return made, fmt.Errorf("note that the day is through: %w", err)
	}
	return made, nil
}

// remindOf makes the reminders of some invoices, those that nobody has made meanwhile.
func (l *Ledger) remindOf(ctx context.Context, s *consumers.Settings, today domain.Date, invoices []consumers.Invoice) (made int, err error) {
	byID := map[string]consumers.Invoice{}
	for _, i := range invoices {
		byID[i.ID] = i
	}
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		before, err := remindedOf(ctx, tx, s.School, invoices)
		if err != nil {
			return err
		}
		var ids []string
		var numbers []int32
		for _, i := range invoices { // by id, so that rows are locked in that order
			b := before[i.ID]
			if n := s.Reminders.Next(i.DueOn, b.made, b.last, today); n > 0 {
				ids, numbers = append(ids, i.ID), append(numbers, int32(n))
			}
		}
		if len(ids) == 0 {
			return nil
		}
		rows, _ := tx.Query(ctx, `
			INSERT INTO schoolbell.ledger_reminders AS r (school, invoice_id, made, last_on)
			SELECT $1, u.id, u.number, $2 FROM unnest($3::text[], $4::integer[]) AS u (id, number)
			ON CONFLICT (school, invoice_id) DO UPDATE SET made = excluded.made, last_on = excluded.last_on WHERE r.made = excluded.made - 1
			RETURNING invoice_id, made`, s.School, today.Time(), ids, numbers)
		var events [][]byte
		var id string
		var number int
		if _, err := pgx.ForEachRow(rows, []any{&id, &number}, func() error {
			event, err := newReminder(byID[id], number, l.cfg.Now())
			events = append(events, event)
			return err
		}); err != nil {
			return fmt.Errorf("count reminders: %w", err)
		}
		if made = len(events); made == 0 {
			return nil
		}
		_, err = tx.Exec(ctx, `INSERT INTO schoolbell.ledger_outbox (school, event) SELECT $1, unnest($2::jsonb[])`, s.School, events)
		return err
	})
	if err != nil {
		return 0, err
	}
	l.metrics.reminders.Add(float64(made))
	l.relayNow()
	return made, nil
}

// reminded is what was made of an invoice before.
type reminded struct {
	made int
	last domain.Date
}

func remindedOf(ctx context.Context, tx pgx.Tx, school string, invoices []consumers.Invoice) (map[string]reminded, error) {
	ids := make([]string, len(invoices))
	for i := range invoices {
		ids[i] = invoices[i].ID
	}
	rows, _ := tx.Query(ctx, `SELECT invoice_id, made, last_on FROM schoolbell.ledger_reminders WHERE school = $1 AND invoice_id = ANY ($2)`, school, ids)
	before := map[string]reminded{}
	var id string
	var made int
	var last time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &made, &last}, func() error {
		before[id] = reminded{made, domain.DateOf(last)}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the reminders that were made: %w", err)
	}
	return before, nil
}

// newReminder makes the event of a reminder. Its id follows from the invoice and the number.
func newReminder(i consumers.Invoice, number int, at time.Time) ([]byte, error) {
	hash := sha256.Sum256([]byte(i.ID))
	id := fmt.Sprintf("reminder-%d-%x", number, hash[:16])
	b, err := json.Marshal(outcome{
		ID: id, Time: at.UTC().Truncate(time.Microsecond), Correlation: id,
		Reminder: &fee.ReminderDue{InvoiceID: i.ID, StudentID: i.StudentID, Amount: i.Open, DueOn: i.DueOn},
	})
	if err != nil {
		return nil, fmt.Errorf("encode reminder of invoice %s: %w", i.ID, err)
	}
	return b, nil
}
