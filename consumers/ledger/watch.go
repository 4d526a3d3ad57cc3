package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	watchEvery = 5 * time.Second
	// mendAfter is how long a delivery that was begun may go without a job. A stuck job is found by River before that.
	mendAfter = 2 * time.Minute
)

// watch counts now and then what is in the database, and mends what has lost its job.
func (l *Ledger) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := l.count(ctx); err != nil && ctx.Err() == nil {
			l.cfg.Logger.DebugContext(ctx, "cannot count jobs", "error", err)
		}
		n, err := l.Mend(ctx, mendAfter)
		if err != nil && ctx.Err() == nil {
			l.cfg.Logger.DebugContext(ctx, "cannot look after deliveries", "error", err)
		}
		if n > 0 {
			l.cfg.Logger.WarnContext(ctx, "deliveries had lost their jobs and got new ones", "deliveries", n)
		}
	}
}

// Mend gives deliveries a job that were begun, are not done, and have had none for so long. A worker that was frozen and
// came back can end the job that another one is doing; River knows jobs by their number only.
func (l *Ledger) Mend(ctx context.Context, after time.Duration) (n int, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT d.id, d.channel, d.school, d.priority, 'epoch'::timestamptz FROM schoolbell.ledger d
			WHERE d.state IN ('planned', 'sending') AND d.fence > 0 AND d.changed_at < now() - $1::interval
				AND NOT EXISTS (SELECT FROM schoolbell_river.river_job j WHERE j.args @> jsonb_build_object('id', d.id)
					AND j.state NOT IN ('completed', 'cancelled', 'discarded'))
			ORDER BY d.changed_at LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED`, after)
		jobs, err := pgx.CollectRows(rows, scanNewJob)
		if err != nil {
			return fmt.Errorf("look for deliveries without a job: %w", err)
		}
		if len(jobs) == 0 {
			return nil
		}
		ids := make([]string, len(jobs))
		for i, j := range jobs {
			ids[i] = j.ID
		}
		if _, err := tx.Exec(ctx, `UPDATE schoolbell.ledger SET changed_at = now() WHERE id = ANY ($1)`, ids); err != nil {
			return fmt.Errorf("note deliveries without a job: %w", err)
		}
		n = len(jobs)
		return l.insertNewJobs(ctx, tx, jobs)
	})
	return n, err
}
