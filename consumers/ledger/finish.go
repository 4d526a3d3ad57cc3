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
	"github.com/schoolbell/schoolbell/domain/guardian"
)

// finishSQL stores the results of attempts and returns those that count. A result counts if its
// start is the latest one, or if the delivery is unknown and the result is certain. A report may
// have come before it: then the report's state stands, and the result adds the provider's id.
const finishSQL = `
UPDATE schoolbell.ledger l SET
	state = CASE WHEN l.state IN ('planned', 'sending', 'unknown') THEN u.state ELSE l.state END,
	provider = u.provider, provider_id = coalesce(nullif(u.provider_id, ''), l.provider_id),
	cost = greatest(u.cost, l.cost), segments = greatest(u.segments, l.segments),
	error = CASE WHEN l.state IN ('planned', 'sending', 'unknown') THEN u.error ELSE l.error END,
	error_class = CASE WHEN l.state IN ('planned', 'sending', 'unknown') THEN u.class ELSE l.error_class END,
	document = coalesce(u.document, l.document),
	attempts = l.attempts - u.free::integer, fence = greatest(l.fence, u.fence), changed_at = now(),
	requested_at = CASE WHEN u.looked_up THEN l.requested_at ELSE now() END
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[],
	$7::integer[], $8::text[], $9::text[], $10::jsonb[], $11::boolean[],
	$12::boolean[])
	AS u (id, fence, state, provider, provider_id, cost, segments, error, class, document, free,
		looked_up)
WHERE l.id = u.id AND (
	l.fence = u.fence AND l.state IN ('sending', 'sent', 'delivered', 'failed')
	-- a start that a database which took over has never had
	OR l.fence < u.fence AND l.state IN ('planned', 'sending', 'unknown')
	OR l.state = 'unknown' AND u.state IN ('sent', 'delivered', 'rendered', 'failed'))
RETURNING l.id`

const writeLogSQL = `
INSERT INTO schoolbell.ledger_log (delivery_id, school, fence, what, detail, took_ms, worker)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::integer[],
	$7::text[])`

const insertOutboxSQL = `
INSERT INTO schoolbell.ledger_outbox (school, event)
SELECT * FROM unnest($1::text[], $2::jsonb[])`

// forceIndexScans makes the rest of a transaction look rows up by their keys. The tables may have
// been empty when the server last analysed them, and then it would rather read them from one end to
// the other.
const forceIndexScans = `SELECT set_config('enable_seqscan', 'off', true),
	set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

// finishBatch stores the results of attempts, and says of each whether it counts.
func (l *Ledger) finishBatch(ctx context.Context, batch []*finish) ([]bool, error) {
	// Rows are locked in the order of their ids, so that two batches cannot block each other.
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
	changed, otherwise := map[string]bool{}, false
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) (err error) {
		first := &pgx.Batch{}
		first.Queue(forceIndexScans)
		update := first.Queue(finishSQL, c.ids, c.fences, c.states, c.providers, c.providerIDs,
			c.costs, c.segments, c.texts, c.classes, c.documents, c.uncounted,
			c.lookedUp)
		update.Query(func(rows pgx.Rows) error {
			var id string
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				changed[id] = true
				return nil
			})
			return err
		})
		if err := tx.SendBatch(ctx, first).Close(); err != nil {
			return err
		}
		// Two round trips, as what is logged depends on which results count.
		second := &pgx.Batch{}
		second.Queue(writeLogSQL, c.ids, c.schools, c.fences, c.logEntries(changed), c.texts,
			c.took, c.workers)
		if schools, events := c.outcomes(changed); len(events) > 0 {
			second.Queue(insertOutboxSQL, schools, events)
		}
		c.queueProblems(second, changed)
		if ids := l.unpriced(batch, changed); len(ids) > 0 {
			second.Queue(insertPricesSQL, ids, l.cfg.PriceAfter)
		}
		if err := tx.SendBatch(ctx, second).Close(); err != nil {
			return err
		}
		if otherwise, err = goOtherwise(ctx, tx, failuresOf(batch, changed)); err != nil {
			return err
		}
		return l.release(ctx, tx, c.ended)
	})
	if err != nil {
		return nil, fmt.Errorf("finish %d attempts: %w", len(batch), err)
	}
	l.relayNow() // after the commit, so that the relay sees the outcomes
	if otherwise {
		wakeUp(l.plans)
	}
	counts := make([]bool, len(batch))
	for i, f := range batch {
		counts[i] = changed[f.ID]
	}
	return counts, nil
}

// failuresOf returns the deliveries that are not sent because of their recipient.
func failuresOf(batch []*finish, changed map[string]bool) (failures []failure) {
	for _, f := range batch {
		switch {
		case !changed[f.ID]:
		case f.state == consumers.Cancelled || f.class == consumers.Unreachable:
			failures = append(failures, failure{&f.Delivery, f.instead})
		case f.state == consumers.Failed:
			failures = append(failures, failure{&f.Delivery, f.Otherwise})
		}
	}
	return failures
}

// unpriced returns those deliveries that were accepted by a provider that says later what they cost.
func (l *Ledger) unpriced(batch []*finish, changed map[string]bool) (ids []string) {
	for _, f := range batch {
		r := f.receipt
		if changed[f.ID] && r.ProviderID != "" && r.Cost == 0 && l.looksUpPrices(f.Channel) {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// finishColumns are attempts, column by column.
type finishColumns struct {
	ids, schools, states, providers, providerIDs, texts, classes, workers []string

	fences, costs     []int64
	segments, took    []int32
	documents, events [][]byte
	uncounted         []bool
	lookedUp          []bool
	optOuts           [][]byte // events of recipients who do not want any more
	ended             []string // deliveries that others may have waited for
	wereUnknown       []string // deliveries that were unknown before
}

// queueProblems updates the list of deliveries that need attention.
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
	c.ids, c.schools = append(c.ids, f.ID), append(c.schools, f.School)
	c.states, c.classes = append(c.states, string(f.state)), append(c.classes, string(f.class))
	c.providers = append(c.providers, f.provider)
	c.providerIDs = append(c.providerIDs, storable(f.receipt.ProviderID))
	c.costs = append(c.costs, f.receipt.Cost)
	c.segments = append(c.segments, int32(f.receipt.Segments))
	c.texts, c.fences = append(c.texts, text), append(c.fences, f.fence)
	c.took, c.workers = append(c.took, int32(f.took.Milliseconds())), append(c.workers, f.worker)
	c.uncounted = append(c.uncounted, f.uncounted)
	c.lookedUp = append(c.lookedUp, f.lookedUp)
	var optOut []byte
	if f.optsOut() {
		if optOut, err = newOptOut(&f.Delivery, guardian.ByProvider); err != nil {
			return err
		}
	}
	c.optOuts = append(c.optOuts, optOut)
	c.documents, c.events = append(c.documents, document), append(c.events, event)
	if f.before == consumers.Unknown {
		c.wereUnknown = append(c.wereUnknown, f.ID)
	}
	failed := f.state == consumers.Failed || f.state == consumers.Cancelled
	done := failed || f.state == consumers.Sent || f.state == consumers.Delivered
	if f.Channel == consumers.PDF && failed || f.Topic != "" && done {
		c.ended = append(c.ended, f.ID)
	}
	return nil
}

// logEntries are the lines of the deliveries' own logs.
func (c *finishColumns) logEntries(changed map[string]bool) []string {
	entries := make([]string, len(c.ids))
	for i, id := range c.ids {
		switch {
		case !changed[id]:
			entries[i] = "late " + c.states[i]
		case c.uncounted[i] && !c.lookedUp[i]:
			entries[i] = "given back"
		default:
			entries[i] = c.states[i]
		}
	}
	return entries
}

// outcomes are the events of those attempts that count, for the outbox.
func (c *finishColumns) outcomes(changed map[string]bool) (schools []string, events [][]byte) {
	for i, id := range c.ids {
		if changed[id] && c.events[i] != nil {
			schools, events = append(schools, c.schools[i]), append(events, c.events[i])
		}
		if changed[id] && c.optOuts[i] != nil {
			schools, events = append(schools, c.schools[i]), append(events, c.optOuts[i])
		}
	}
	return schools, events
}

// release inserts the jobs of deliveries that have waited for others.
func (l *Ledger) release(ctx context.Context, tx pgx.Tx, ended []string) error {
	if len(ended) == 0 {
		return nil
	}
	rows, _ := tx.Query(ctx, `
		SELECT d.id, d.channel, d.school, d.priority, coalesce(d.not_before, 'epoch')
		FROM schoolbell.ledger d JOIN schoolbell.ledger p ON p.id = d.depends_on
		WHERE d.depends_on = ANY ($1) AND d.depends_on <> '' AND d.state = 'planned' AND d.fence = 0
			AND NOT EXISTS (SELECT FROM schoolbell.ledger_plans a WHERE d.id = ANY (a.ids))
			AND p.state IN ('sent', 'delivered', 'rendered', 'failed', 'cancelled')
		ORDER BY d.id`, ended)
	jobs, err := pgx.CollectRows(rows, scanNewJob)
	if err != nil {
		return fmt.Errorf("find what waits: %w", err)
	}
	return l.insertJobs(ctx, tx, jobs)
}

func scanNewJob(row pgx.CollectableRow) (*newJob, error) {
	j := &newJob{}
	err := row.Scan(&j.ID, &j.Channel, &j.school, &j.priority, &j.at)
	if j.at.Before(time.Unix(1, 0)) {
		j.at = time.Time{}
	}
	return j, err
}
