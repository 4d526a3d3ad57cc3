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

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
)

// ReminderSource is the CloudEvents source of reminders.
const ReminderSource = "schoolbell/reminders"

// remindRegularly looks for due reminders until ctx ends. Every process does: [Ledger.Remind]
// counts each reminder once, and does something once a day for each school.
func (l *Ledger) remindRegularly(ctx context.Context) {
	tick := time.NewTicker(l.cfg.RemindEvery)
	defer tick.Stop()
	for {
		if _, err := l.Remind(ctx); err != nil && ctx.Err() == nil {
			l.cfg.Logger.WarnContext(ctx, "cannot make reminders, will retry", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// remindBatch is how many invoices are looked at in one transaction. A transaction that is cut off
// is repeated.
const remindBatch = 1000

// Remind makes the reminders that are due, for the schools whose hour has come and whose day is not
// finished, and returns their number. Several processes may call it at the same time, and again
// after one has died in it. One school's error does not keep the others from theirs.
func (l *Ledger) Remind(ctx context.Context) (made int, err error) {
	schools, err := l.cfg.Settings.reminding(ctx, l.cfg.Now())
	if err != nil {
		return 0, err
	}
	var faults []error
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

func (l *Ledger) remindSchool(
	ctx context.Context, s *consumers.Settings, today domain.Date,
) (made int, err error) {
	var finished bool
	if err := l.pool.QueryRow(ctx, `SELECT EXISTS (
		SELECT FROM schoolbell.ledger_reminder_days WHERE school = $1 AND done >= $2)`,
		s.School, today.Time()).Scan(&finished); err != nil || finished {
		return 0, err
	}
	// Read outside of the transactions below: it may be large, and what is paid in between is noticed
	// by the planner, which looks at the invoice again.
	invoices, err := l.cfg.Overdue(ctx, s.School, today)
	if err != nil {
		return 0, err
	}
	for batch := range slices.Chunk(invoices, remindBatch) {
		n, err := l.remindOf(ctx, s, today, batch)
		if made += n; err != nil {
			return made, err
		}
	}
	if _, err := l.pool.Exec(ctx, `
		INSERT INTO schoolbell.ledger_reminder_days AS d (school, done) VALUES ($1, $2)
		ON CONFLICT (school) DO UPDATE SET done = greatest(d.done, excluded.done)`, s.School, today.Time()); err != nil {
		return made, fmt.Errorf("store that the day is finished: %w", err)
	}
	return made, nil
}

// remindOf makes the reminders of some invoices, except those that another process has made since.
func (l *Ledger) remindOf(
	ctx context.Context, s *consumers.Settings, today domain.Date, invoices []consumers.Invoice,
) (made int, err error) {
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
			-- another process may have made this reminder since it was counted above
			ON CONFLICT (school, invoice_id) DO UPDATE
				SET made = excluded.made, last_on = excluded.last_on
				WHERE r.made = excluded.made - 1
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
		_, err = tx.Exec(ctx, `
			INSERT INTO schoolbell.ledger_outbox (school, event) SELECT $1, unnest($2::jsonb[])`,
			s.School, events)
		return err
	})
	if err != nil {
		return 0, err
	}
	l.metrics.reminders.Add(float64(made))
	l.relayNow()
	return made, nil
}

// reminded are the reminders of an invoice that were made before.
type reminded struct {
	made int
	last domain.Date
}

func remindedOf(
	ctx context.Context, tx pgx.Tx, school string, invoices []consumers.Invoice,
) (map[string]reminded, error) {
	ids := make([]string, len(invoices))
	for i := range invoices {
		ids[i] = invoices[i].ID
	}
	rows, _ := tx.Query(ctx, `
		SELECT invoice_id, made, last_on FROM schoolbell.ledger_reminders
		WHERE school = $1 AND invoice_id = ANY ($2)`, school, ids)
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

// newReminder makes the event of a reminder. Its id follows from the invoice and the number, so a
// reminder that is made twice is one event.
func newReminder(i consumers.Invoice, number int, at time.Time) ([]byte, error) {
	hash := sha256.Sum256([]byte(i.ID))
	id := fmt.Sprintf(reminderID+"%x", number, hash[:16])
	b, err := json.Marshal(outcome{
		ID: id, Time: at.UTC().Truncate(time.Microsecond), Correlation: id,
		Reminder: &fee.ReminderDue{
			InvoiceID: i.ID, StudentID: i.StudentID, Amount: i.Owed, DueOn: i.DueOn,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode reminder of invoice %s: %w", i.ID, err)
	}
	return b, nil
}

// reminderID is how the ids of reminders begin.
const reminderID = "reminder-%d-"

// reminderNumber reads the number of a reminder from the id of its event, 0 if it has none.
func reminderNumber(eventID string) (n int) {
	if _, err := fmt.Sscanf(eventID, reminderID, &n); err != nil {
		return 0
	}
	return n
}
