package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// finishSQL writes down what came of attempts. An answer counts if its start is the latest one; or if nobody knows and it
// is certain. A report may have come before the answer: then it stands, and the answer adds what the provider calls the
// delivery. Those that count are the answer.
const finishSQL = `
UPDATE schoolbell.ledger l SET
	state = CASE WHEN l.state IN ('sending', 'unknown') THEN u.state ELSE l.state END,
	provider = u.provider, provider_id = coalesce(nullif(u.provider_id, ''), l.provider_id),
	cost = greatest(u.cost, l.cost), segments = greatest(u.segments, l.segments),
	error = CASE WHEN l.state IN ('sending', 'unknown') THEN u.error ELSE l.error END,
	error_class = CASE WHEN l.state IN ('sending', 'unknown') THEN u.class ELSE l.error_class END,
	document = coalesce(u.document, l.document),
	attempts = l.attempts - u.free::integer, changed_at = now()
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[], $8::text[], $9::text[],
	$10::jsonb[], $11::boolean[])
	AS u (id, fence, state, provider, provider_id, cost, segments, error, class, document, free)
WHERE l.id = u.id AND (
	l.fence = u.fence AND l.state IN ('sending', 'sent', 'delivered', 'failed')
	OR l.state = 'unknown' AND u.state IN ('sent', 'delivered', 'rendered', 'failed'))
RETURNING l.id`

const writeLogSQL = `
INSERT INTO schoolbell.ledger_log (delivery_id, school, fence, what, detail, took_ms, worker)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::integer[], $7::text[])`

const insertOutboxSQL = `INSERT INTO schoolbell.ledger_outbox (school, event) SELECT * FROM unnest($1::text[], $2::jsonb[])`

// forceIndexScans makes the rest of a transaction look rows up by their keys. The tables may have been empty when the server last
// counted them, and then it would rather read all of them.
const forceIndexScans = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

// finishBatch says for each attempt whether it counts.
func (l *Ledger) finishBatch(ctx context.Context, batch []*finish) ([]bool, error) {
	// Rows are locked in the order of their ids.
	order := make([]int, len(batch))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(batch[a].ID, batch[b].ID) })
	var c finishColumns
	for _, i := range order {
		if err := c.add(batch[i]); err != nil {
			return nil, err
		}
	}
	changed := map[string]bool{}
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		first := &pgx.Batch{}
		first.Queue(forceIndexScans)
		first.Queue(finishSQL, c.ids, c.fences, c.states, c.providers, c.providerIDs, c.costs, c.segments, c.texts, c.classes, c.documents, c.free).
			Query(func(rows pgx.Rows) error {
				var id string
				_, err := pgx.ForEachRow(rows, []any{&id}, func() error { changed[id] = true; return nil })
				return err
			})
		if err := tx.SendBatch(ctx, first).Close(); err != nil {
			return err
		}
		second := &pgx.Batch{}
		whats, tell := c.followUp(changed)
		second.Queue(writeLogSQL, c.ids, c.schools, c.fences, whats, c.texts, c.took, c.workers)
		if len(tell.events) > 0 {
			second.Queue(insertOutboxSQL, tell.schools, tell.events)
		}
		c.queueProblems(second, changed)
		if err := tx.SendBatch(ctx, second).Close(); err != nil {
			return err
		}
		return l.release(ctx, tx, c.ended)
	})
	if err != nil {
		return nil, fmt.Errorf("finish %d attempts: %w", len(batch), err)
	}
	l.relayNow()
	counts := make([]bool, len(batch))
	for i, f := range batch {
		counts[i] = changed[f.ID]
	}
	return counts, nil
}

// finishColumns are attempts, column by column.
type finishColumns struct {
	ids, schools, states, providers, providerIDs, texts, classes, workers []string
	fences, costs                                                         []int64
	segments, took                                                        []int32
	documents, events                                                     [][]byte
	free                                                                  []bool
	ended                                                                 []string // what may have been waited for
	wereUnknown                                                           []string // what was unknown before
}

// queueProblems keeps the list of those that need a look.
func (c *finishColumns) queueProblems(batch *pgx.Batch, changed map[string]bool) {
	if len(c.wereUnknown) > 0 {
		batch.Queue(`DELETE FROM schoolbell.ledger_trouble WHERE id = ANY ($1)`, c.wereUnknown)
	}
	for i, id := range c.ids {
		if s := consumers.State(c.states[i]); changed[id] && (s == consumers.Dead || s == consumers.Unknown) {
			batch.Queue(insertProblemSQL, id, c.schools[i], s)
		}
	}
}

const insertProblemSQL = `
INSERT INTO schoolbell.ledger_trouble (id, school, state) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET state = excluded.state`

func (c *finishColumns) add(f *finish) error {
	text := ""
	if f.err != nil {
		text = storable(f.err.Error())
	}
	var document []byte
	if d := f.receipt.Document; d != nil {
		var err error
		if document, err = json.Marshal(d); err != nil {
			return fmt.Errorf("encode document: %w", err)
		}
		c.ended = append(c.ended, f.ID)
	}
	event, err := f.outcome(text)
	if err != nil {
		return err
	}
	c.ids, c.schools, c.states = append(c.ids, f.ID), append(c.schools, f.School), append(c.states, string(f.state))
	c.providers, c.providerIDs = append(c.providers, f.provider), append(c.providerIDs, storable(f.receipt.ProviderID))
	c.costs, c.segments = append(c.costs, f.receipt.Cost), append(c.segments, int32(f.receipt.Segments))
	c.texts, c.classes, c.fences = append(c.texts, text), append(c.classes, string(f.class)), append(c.fences, f.fence)
	c.took, c.workers, c.free = append(c.took, int32(f.took.Milliseconds())), append(c.workers, f.worker), append(c.free, f.uncounted)
	c.documents, c.events = append(c.documents, document), append(c.events, event)
	if f.before == consumers.Unknown {
		c.wereUnknown = append(c.wereUnknown, f.ID)
	}
	if f.Channel == consumers.PDF && (f.state == consumers.Failed || f.state == consumers.Cancelled) {
		c.ended = append(c.ended, f.ID)
	}
	return nil
}

// followUp says what is to be written into the deliveries' logs, and what the log is to be told, once it is known which count.
func (c *finishColumns) followUp(changed map[string]bool) (whats []string, tell struct {
	schools []string
	events  [][]byte
},
) {
	for i, id := range c.ids {
		what := c.states[i]
		switch {
		case !changed[id]:
			what = "late " + what
		case c.free[i]:
			what = "given back"
		}
		whats = append(whats, what)
		if changed[id] && c.events[i] != nil {
			tell.schools, tell.events = append(tell.schools, c.schools[i]), append(tell.events, c.events[i])
		}
	}
	return whats, tell
}

// release gives deliveries that have waited for others their jobs.
func (l *Ledger) release(ctx context.Context, tx pgx.Tx, ended []string) error {
	if len(ended) == 0 {
		return nil
	}
	rows, _ := tx.Query(ctx, `
		SELECT d.id, d.channel, d.school, d.priority, coalesce(d.not_before, 'epoch') FROM schoolbell.ledger d
		JOIN schoolbell.ledger p ON p.id = d.depends_on
		WHERE d.depends_on = ANY ($1) AND d.depends_on <> '' AND d.state = 'planned' AND d.fence = 0
			AND p.state IN ('sent', 'delivered', 'rendered', 'failed', 'cancelled')
		ORDER BY d.id`, ended)
	jobs, err := pgx.CollectRows(rows, scanNewJob)
	if err != nil {
		return fmt.Errorf("find what has waited: %w", err)
	}
	return l.insertNewJobs(ctx, tx, jobs)
}

func scanNewJob(row pgx.CollectableRow) (*newJob, error) {
	j := &newJob{}
	err := row.Scan(&j.ID, &j.Channel, &j.school, &j.priority, &j.at)
	if j.at.Before(time.Unix(1, 0)) {
		j.at = time.Time{}
	}
	return j, err
}
