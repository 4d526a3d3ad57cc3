package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/schoolbell/schoolbell/consumers"
)

// Depth counts jobs that are not done.
type Depth struct {
	Queue    string `json:"queue"`
	Priority int    `json:"priority"`
	State    string `json:"state"`
	Jobs     int64  `json:"jobs"`
}

// Depths returns how many jobs wait, by queue, priority and River's state.
func (l *Ledger) Depths(ctx context.Context) ([]Depth, error) {
	rows, _ := l.pool.Query(ctx, `
		SELECT queue, priority, state::text, count(*) FROM schoolbell_river.river_job
		WHERE state IN ('available', 'running', 'retryable', 'scheduled', 'pending') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`)
	depths, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Depth])
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	return depths, nil
}

// StateError says that something cannot be done to a delivery in its state.
type StateError struct {
	ID     string
	State  consumers.State
	Wanted string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("delivery %s is %s: it cannot be %s", e.ID, e.State, e.Wanted)
}

// change locks a delivery, checks its state and has something done about it.
func (l *Ledger) change(ctx context.Context, id, wanted, actor string, from []consumers.State, do func(tx pgx.Tx, e *Entry) error) error {
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `SELECT `+entryColumns+` FROM schoolbell.ledger WHERE id = $1 FOR NO KEY UPDATE`, id)
		e, err := pgx.CollectExactlyOneRow(rows, scanEntry)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("delivery %s: %w", id, consumers.ErrUnknownDelivery)
		}
		if err != nil {
			return fmt.Errorf("read delivery %s: %w", id, err)
		}
		for _, s := range from {
			if e.State == s {
				if _, err := tx.Exec(ctx, `INSERT INTO schoolbell.ledger_log (delivery_id, school, fence, what, detail)
					SELECT id, school, fence, $2, $3 FROM schoolbell.ledger WHERE id = $1`, id, wanted, actor); err != nil {
					return fmt.Errorf("write down who %s it: %w", wanted, err)
				}
				if _, err := tx.Exec(ctx, `DELETE FROM schoolbell.ledger_trouble WHERE id = $1`, id); err != nil {
					return fmt.Errorf("take delivery %s off the list: %w", id, err)
				}
				return do(tx, e)
			}
		}
		return &StateError{ID: id, State: e.State, Wanted: wanted}
	})
	l.relayNow()
	return err
}

// Retry has a delivery done again that is dead, failed, cancelled or unknown, or does at once what would wait for its next
// attempt. Whoever retries one that is unknown says that it may be done twice.
func (l *Ledger) Retry(ctx context.Context, id, actor string) error {
	from := []consumers.State{consumers.Planned, consumers.Dead, consumers.Failed, consumers.Cancelled, consumers.Unknown}
	return l.change(ctx, id, "retried", actor, from, func(tx pgx.Tx, e *Entry) error {
		if _, err := tx.Exec(ctx, `UPDATE schoolbell.ledger SET state = 'planned', attempts = 0, error = '', error_class = '', not_after = NULL, changed_at = now()
			WHERE id = $1`, id); err != nil {
			return fmt.Errorf("plan delivery %s again: %w", id, err)
		}
		// The job of one that was given up is done, or will be in a moment.
		if e.State == consumers.Planned {
			job, err := openJob(ctx, tx, e)
			if err != nil {
				return err
			}
			if job == 0 {
				return &StateError{ID: id, State: "waiting for another delivery", Wanted: "retried"}
			}
			_, err = l.river.JobRetryTx(ctx, tx, job)
			return err
		}
		return l.insertJobs(ctx, tx, []*newJob{{task: task{e.ID, e.Channel}, school: e.School, priority: e.Priority}})
	})
}

// Discard gives a delivery up that is dead or unknown.
func (l *Ledger) Discard(ctx context.Context, id, actor string) error {
	return l.change(ctx, id, "discarded", actor, []consumers.State{consumers.Dead, consumers.Unknown}, func(tx pgx.Tx, e *Entry) error {
		return l.close(ctx, tx, e, consumers.Failed, "given up by "+actor)
	})
}

// Cancel keeps a delivery from being done that has not begun.
func (l *Ledger) Cancel(ctx context.Context, id, actor string) error {
	return l.change(ctx, id, "cancelled", actor, []consumers.State{consumers.Planned, consumers.Dead}, func(tx pgx.Tx, e *Entry) error {
		return l.close(ctx, tx, e, consumers.Cancelled, "cancelled by "+actor)
	})
}

func (l *Ledger) close(ctx context.Context, tx pgx.Tx, e *Entry, state consumers.State, text string) error {
	var d consumers.Delivery
	row := deliveryRow{Delivery: &d}
	var fence int64
	if err := tx.QueryRow(ctx, `
		UPDATE schoolbell.ledger l SET state = $2, error = $3, changed_at = now() WHERE id = $1
		RETURNING `+deliveryColumns+`, l.fence`, e.ID, state, text).
		Scan(append(row.targets(), &fence)...); err != nil {
		return fmt.Errorf("close delivery %s: %w", e.ID, err)
	}
	if state == consumers.Failed {
		event, err := newOutcome(&d, state, fence, providerOrNone(e.Provider), consumers.Receipt{}, text)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO schoolbell.ledger_outbox (school, event) VALUES ($1, $2)`, d.School, event); err != nil {
			return fmt.Errorf("tell of delivery %s: %w", e.ID, err)
		}
	}
	// Its job finds that there is nothing to do.
	return l.release(ctx, tx, []string{e.ID})
}

func providerOrNone(provider string) string {
	if provider == "" {
		return "none"
	}
	return provider
}

// openJob returns the number of the job of a delivery that is not done yet, 0 if there is none.
func openJob(ctx context.Context, tx pgx.Tx, e *Entry) (id int64, err error) {
	err = tx.QueryRow(ctx, `
		SELECT id FROM schoolbell_river.river_job
		WHERE state IN ('retryable', 'scheduled', 'available', 'running') AND queue = $1 AND priority = $2 AND args ->> 'id' = $3 LIMIT 1`,
		e.Queue, e.Priority, e.ID).Scan(&id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("find the job of delivery %s: %w", e.ID, err)
	}
	return id, nil
}

// ErrNoWorkers says that there is nothing to pause or resume.
var ErrNoWorkers = errors.New("no worker has ever worked on this queue")

// Pause stops a queue, in all processes; running jobs go on.
func (l *Ledger) Pause(ctx context.Context, queue string) error {
	if err := l.river.QueuePause(ctx, queue, nil); errors.Is(err, river.ErrNotFound) {
		return fmt.Errorf("pause queue %s: %w", queue, ErrNoWorkers)
	} else if err != nil {
		return fmt.Errorf("pause queue %s: %w", queue, err)
	}
	return nil
}

// Resume goes on with a queue.
func (l *Ledger) Resume(ctx context.Context, queue string) error {
	if err := l.river.QueueResume(ctx, queue, nil); errors.Is(err, river.ErrNotFound) {
		return fmt.Errorf("resume queue %s: %w", queue, ErrNoWorkers)
	} else if err != nil {
		return fmt.Errorf("resume queue %s: %w", queue, err)
	}
	return nil
}

// Paused returns the queues that are paused.
func (l *Ledger) Paused(ctx context.Context) ([]string, error) {
	rows, _ := l.pool.Query(ctx, `SELECT name FROM schoolbell_river.river_queue WHERE paused_at IS NOT NULL ORDER BY name`)
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
