package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

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
		WHERE state IN ('available', 'running', 'retryable', 'scheduled', 'pending')
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`)
	depths, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Depth])
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	return depths, nil
}

// StateError means that an operation is not possible in the state that a delivery is in.
type StateError struct {
	ID     string
	State  consumers.State
	Wanted string // the operation, as a participle: retried, cancelled
}

func (e *StateError) Error() string {
	return fmt.Sprintf("delivery %s is %s: it cannot be %s", e.ID, e.State, e.Wanted)
}

// change locks a delivery, checks its state, records the operation in the delivery's log and does
// it.
func (l *Ledger) change(
	ctx context.Context, id, wanted, actor string, from []consumers.State,
	do func(tx pgx.Tx, e *Entry) error,
) error {
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT `+entryColumns+` FROM schoolbell.ledger WHERE id = $1 FOR NO KEY UPDATE`, id)
		e, err := pgx.CollectExactlyOneRow(rows, l.scanEntry)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("delivery %s: %w", id, consumers.ErrUnknownDelivery)
		}
		if err != nil {
			return fmt.Errorf("read delivery %s: %w", id, err)
		}
		if !slices.Contains(from, e.State) {
			return &StateError{ID: id, State: e.State, Wanted: wanted}
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO schoolbell.ledger_log (delivery_id, school, fence, what, detail)
			SELECT id, school, fence, $2, $3 FROM schoolbell.ledger WHERE id = $1`,
			id, wanted, actor); err != nil {
			return fmt.Errorf("record who %s it: %w", wanted, err)
		}
		if err := removeProblem(ctx, tx, id); err != nil {
			return err
		}
		return do(tx, e)
	})
	l.relayNow()
	return err
}

// removeProblem takes a delivery off the list of those that need attention.
func removeProblem(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, `DELETE FROM schoolbell.ledger_trouble WHERE id = $1`, id)
	if err != nil {
		return fmt.Errorf("take delivery %s off the list of problems: %w", id, err)
	}
	return nil
}

// Retry sends a dead, failed, cancelled or unknown delivery again, or starts at once one that waits
// for its next attempt. Retrying an unknown one accepts that it may be done twice.
func (l *Ledger) Retry(ctx context.Context, id, actor string) error {
	from := []consumers.State{
		consumers.Planned, consumers.Dead, consumers.Failed, consumers.Cancelled, consumers.Unknown,
	}
	return l.change(ctx, id, "retried", actor, from, func(tx pgx.Tx, e *Entry) error {
		if _, err := tx.Exec(ctx, `
			UPDATE schoolbell.ledger SET state = 'planned', attempts = 0, error = '',
				error_class = '', not_after = NULL, changed_at = now()
			WHERE id = $1`, id); err != nil {
			return fmt.Errorf("plan delivery %s again: %w", id, err)
		}
		// Only a planned delivery has a job that is not done, or about to be.
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
		// One that has not been announced gets its job then; the lock waits for one that is being.
		rows, _ := tx.Query(ctx,
			`SELECT seq FROM schoolbell.ledger_plans WHERE $1 = ANY (ids) FOR UPDATE`, id)
		pending, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return fmt.Errorf("look whether delivery %s was announced: %w", id, err)
		}
		if len(pending) > 0 {
			return nil
		}
		return l.insertJobs(ctx, tx, []*newJob{{
			task: task{e.ID, e.Channel}, school: e.School, priority: e.Priority,
		}})
	})
}

// Discard gives up a dead or unknown delivery: it has failed then.
func (l *Ledger) Discard(ctx context.Context, id, actor string) error {
	from := []consumers.State{consumers.Dead, consumers.Unknown}
	return l.change(ctx, id, "discarded", actor, from, func(tx pgx.Tx, e *Entry) error {
		return l.close(ctx, tx, e, consumers.Failed, "given up by "+actor)
	})
}

// Cancel prevents a planned or dead delivery from being sent.
func (l *Ledger) Cancel(ctx context.Context, id, actor string) error {
	from := []consumers.State{consumers.Planned, consumers.Dead}
	return l.change(ctx, id, "cancelled", actor, from, func(tx pgx.Tx, e *Entry) error {
		return l.close(ctx, tx, e, consumers.Cancelled, "cancelled by "+actor)
	})
}

// close ends a delivery in a final state. Its job, if there is one, finds nothing to do.
func (l *Ledger) close(
	ctx context.Context, tx pgx.Tx, e *Entry, state consumers.State, text string,
) error {
	var d consumers.Delivery
	row := deliveryRow{Delivery: &d}
	var fence int64
	if err := tx.QueryRow(ctx, `
		UPDATE schoolbell.ledger l SET state = $2, error = $3, changed_at = now() WHERE id = $1
		RETURNING `+deliveryColumns+`, l.fence`, e.ID, state, text).
		Scan(append(row.targets(), &fence)...); err != nil {
		return fmt.Errorf("close delivery %s: %w", e.ID, err)
	}
	if state == consumers.Failed || state == consumers.Cancelled {
		provider := cmp.Or(e.Provider, "none")
		event, err := newOutcome(&d, state, fence, provider, consumers.Receipt{}, text)
		if err != nil {
			return err
		}
		if err := insertOutcome(ctx, tx, d.School, event); err != nil {
			return err
		}
	}
	return l.release(ctx, tx, []string{e.ID})
}

// openJob returns the id of the job of a delivery that is not done yet, or 0.
func openJob(ctx context.Context, tx pgx.Tx, e *Entry) (id int64, err error) {
	err = tx.QueryRow(ctx, `
		SELECT id FROM schoolbell_river.river_job
		WHERE state IN ('retryable', 'scheduled', 'available', 'running')
			AND queue = $1 AND priority = $2 AND args ->> 'id' = $3 LIMIT 1`,
		e.Queue, e.Priority, e.ID).Scan(&id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("find the job of delivery %s: %w", e.ID, err)
	}
	return id, nil
}

// ErrNoWorkers means that there is no queue to pause or resume.
var ErrNoWorkers = errors.New("no worker has ever worked on this queue")

// Pause stops a queue in all processes; running jobs finish.
func (l *Ledger) Pause(ctx context.Context, queue string) error {
	return queueError("pause", queue, l.river.QueuePause(ctx, queue, nil))
}

// Resume restarts a paused queue.
func (l *Ledger) Resume(ctx context.Context, queue string) error {
	return queueError("resume", queue, l.river.QueueResume(ctx, queue, nil))
}

func queueError(verb, queue string, err error) error {
	if errors.Is(err, river.ErrNotFound) {
		err = ErrNoWorkers
	}
	if err != nil {
		return fmt.Errorf("%s queue %s: %w", verb, queue, err)
	}
	return nil
}

// Paused returns the queues that are paused.
func (l *Ledger) Paused(ctx context.Context) ([]string, error) {
	rows, _ := l.pool.Query(ctx, `
		SELECT name FROM schoolbell_river.river_queue WHERE paused_at IS NOT NULL ORDER BY name`)
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
