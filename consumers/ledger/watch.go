package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// watchEvery is how old the gauges are at most, in a ledger of ordinary size.
const watchEvery = 5 * time.Second

// pruneEvery is how often old dead letters are removed.
const pruneEvery = time.Hour

// watch updates the gauges regularly, resolves outcomes that have been unknown for too long, and
// removes old dead letters, until ctx ends. Where that takes long it does so less often.
func (l *Ledger) watch(ctx context.Context) {
	next := time.NewTimer(watchEvery)
	defer next.Stop()
	var pruned time.Time
	for {
		select {
		case <-next.C:
			began := time.Now()
			if err := l.count(ctx); err != nil && ctx.Err() == nil {
				l.cfg.Logger.DebugContext(ctx, "cannot count jobs", "error", err)
			}
			if err := l.resolveUnknown(ctx); err != nil && ctx.Err() == nil {
				l.cfg.Logger.WarnContext(ctx, "cannot resolve unknown outcomes", "error", err)
			}
			if time.Since(pruned) >= pruneEvery {
				pruned = time.Now()
				if err := l.pruneDeadLetters(ctx); err != nil && ctx.Err() == nil {
					l.cfg.Logger.WarnContext(ctx, "cannot remove old dead letters", "error", err)
				}
			}
			// At most 2 % of the time, however large the tables are.
			next.Reset(max(watchEvery, 50*time.Since(began)))
		case <-ctx.Done():
			return
		}
	}
}

// resolveUnknown fails deliveries whose outcome has been unknown for longer than their channel
// waits for a report: by then the school should learn that they may not have arrived. They are not
// sent again. A report that comes even later still counts.
func (l *Ledger) resolveUnknown(ctx context.Context) error {
	var channels []string
	var waits []time.Duration
	for channel, wait := range l.cfg.UnknownTimeout {
		channels, waits = append(channels, string(channel)), append(waits, wait)
	}
	rows, _ := l.pool.Query(ctx, `
		SELECT l.id FROM schoolbell.ledger_trouble t JOIN schoolbell.ledger l ON l.id = t.id
		JOIN unnest($1::text[], $2::interval[]) AS u (channel, wait) ON u.channel = l.channel
		WHERE t.state = 'unknown' AND l.state = 'unknown'
			AND coalesce(l.requested_at, l.changed_at) < now() - u.wait
		LIMIT 1000`, channels, waits)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("find unknown outcomes: %w", err)
	}
	from := []consumers.State{consumers.Unknown}
	for _, id := range ids {
		err := l.change(ctx, id, "given up", "its outcome is unknown", from,
			func(tx pgx.Tx, e *Entry) error {
				return l.close(ctx, tx, e, consumers.Failed, "it is unknown whether it arrived")
			})
		// Another process or a report may have been quicker.
		if _, moved := errors.AsType[*StateError](err); err != nil && !moved {
			return err
		}
	}
	return nil
}

// insertFallbackJob inserts another job of a delivery, for later, when a result about it came late.
// A worker that was frozen and comes back ends the job that another one has begun since, as River
// identifies jobs by their id only; should that one want to retry, there is no job left to do so.
// If all went well the job finds nothing to do.
func (l *Ledger) insertFallbackJob(ctx context.Context, f *finish) error {
	return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		return l.insertJobs(ctx, tx, []*newJob{{
			task: task{f.ID, f.Channel}, school: f.School, priority: f.Priority,
			at: time.Now().Add(l.cfg.SendTimeout + jobOverhead),
		}})
	})
}

// Repair inserts jobs for deliveries that are not done and do not wait for another one, but have no
// job, for example after River's table was restored from a backup. It considers those that have not
// changed for the given time, and reads the whole ledger.
func (l *Ledger) Repair(ctx context.Context, after time.Duration) (n int, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT d.id, d.channel, d.school, d.priority, coalesce(d.not_before, 'epoch')
			FROM schoolbell.ledger d
			LEFT JOIN schoolbell.ledger p ON p.id = d.depends_on AND d.depends_on <> ''
			WHERE d.state IN ('planned', 'sending') AND d.changed_at < now() - $1::interval
				AND d.id <> ALL (ARRAY(SELECT unnest(ids) FROM schoolbell.ledger_plans))
				AND (p.id IS NULL
					OR p.state IN ('sent', 'delivered', 'rendered', 'failed', 'cancelled'))
				AND NOT EXISTS (SELECT FROM schoolbell_river.river_job j WHERE j.args ->> 'id' = d.id
					AND j.state IN ('retryable', 'scheduled', 'available', 'running', 'pending'))
			ORDER BY d.id FOR NO KEY UPDATE OF d SKIP LOCKED`, after)
		jobs, err := pgx.CollectRows(rows, scanNewJob)
		if err != nil {
			return fmt.Errorf("find deliveries without a job: %w", err)
		}
		n = len(jobs)
		return l.insertJobs(ctx, tx, jobs)
	})
	return n, err
}
