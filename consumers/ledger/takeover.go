package ledger

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// takeOverSQL brings deliveries up to what the log tells of them: to their outcome, or where there
// is none to unknown, as they may have been sent. Then they are resolved like any other of which no
// response came. Without ids it does so for all that the ledger has.
const takeOverSQL = `
WITH p AS (
	DELETE FROM schoolbell.ledger_past p USING schoolbell.ledger l
	WHERE l.id = p.id AND ($1::text[] IS NULL OR p.id = ANY ($1))
	RETURNING p.*
), l AS (
	UPDATE schoolbell.ledger l SET
		state = CASE p.state WHEN 'planned' THEN 'unknown' ELSE p.state END,
		fence = greatest(l.fence, p.fence, 1), cost = greatest(l.cost, p.cost),
		provider = coalesce(nullif(p.provider, ''), l.provider),
		provider_id = coalesce(nullif(p.provider_id, ''), l.provider_id),
		error = p.error, error_class = CASE WHEN p.state <> 'failed' THEN ''
			WHEN l.error_class = 'unreachable' THEN 'unreachable' ELSE 'permanent' END,
		cleared = p.state IN ('planned', 'sent', 'delivered'),
		started_at = coalesce(l.started_at, now()),
		document = coalesce(p.document, l.document), requested_at = now(), changed_at = now()
	FROM p WHERE l.id = p.id
	RETURNING l.id, l.school, l.fence, l.queue, l.state
), solved AS (
	DELETE FROM schoolbell.ledger_trouble t USING l WHERE t.id = l.id
), noted AS (
	INSERT INTO schoolbell.ledger_log (delivery_id, school, fence, what, detail)
	SELECT id, school, fence, state, 'by the log: the ledger did not have it' FROM l
)
SELECT id, queue FROM l`

// takeOver returns the ids that it has changed, and in which queues they are.
func takeOver(ctx context.Context, tx pgx.Tx, among []string) (ids, queues []string, err error) {
	rows, _ := tx.Query(ctx, takeOverSQL, among)
	var id, queue string
	if _, err = pgx.ForEachRow(rows, []any{&id, &queue}, func() error {
		ids = append(ids, id)
		if !slices.Contains(queues, queue) {
			queues = append(queues, queue)
		}
		return nil
	}); err != nil {
		return nil, nil, fmt.Errorf("take over what the log tells of deliveries: %w", err)
	}
	return ids, queues, nil
}

// doubtSQL makes deliveries unknown that an older ledger has as planned, and that may have been sent
// since: not those whose time has not come, that wait for another one or for their announcement,
// nor those of a paused queue of which the log has no outcome.
const doubtSQL = `
WITH l AS (
	UPDATE schoolbell.ledger l SET state = 'unknown', fence = greatest(fence, 1), cleared = true,
		started_at = coalesce(started_at, now()), requested_at = now(), changed_at = now()
	WHERE partition = ANY ($1) AND state IN ('planned', 'unknown')
		AND (not_before IS NULL OR not_before <= now())
		AND NOT EXISTS (SELECT FROM schoolbell.ledger p WHERE p.id = l.depends_on
			AND p.state NOT IN ('sent', 'delivered', 'rendered', 'failed', 'cancelled'))
		AND id <> ALL (ARRAY(SELECT unnest(ids) FROM schoolbell.ledger_plans))
		AND (queue = ANY ($2) OR queue <> ALL (ARRAY(
			SELECT name FROM schoolbell_river.river_queue WHERE paused_at IS NOT NULL)))
	RETURNING id, school, fence
), noted AS (
	INSERT INTO schoolbell.ledger_log (delivery_id, school, fence, what, detail)
	SELECT id, school, fence, 'unknown', 'the ledger was restored: it may have been sent since'
	FROM l
)
SELECT id FROM l`

// settle applies what was found. The ledger is old when the log tells of something that it does not
// have; and it may be when it is in another database, or on a standby that took over.
func (c *comparison) settle(ctx context.Context, closed []partitionState, moved bool) error {
	taken, queues, err := takeOver(ctx, c.tx, nil)
	if err != nil {
		return err
	}
	c.taken = len(taken)
	others, err := takeOtherWays(ctx, c.tx, taken)
	if err == nil {
		err = storePlans(ctx, c.tx, others, nil)
	}
	if err != nil {
		return err
	}
	if c.lost == 0 && !moved {
		return nil
	}
	partitions := make([]int32, len(closed))
	for i, p := range closed {
		partitions[i] = p.partition
	}
	rows, _ := c.tx.Query(ctx, doubtSQL, partitions, queues)
	doubted, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("find what may have been sent: %w", err)
	}
	c.unknown = len(doubted)
	return c.ledger.replaceJobs(ctx, c.tx, append(taken, doubted...))
}

// replaceJobs inserts jobs for deliveries, and for those that have waited for them, that need one and
// have none.
func (l *Ledger) replaceJobs(ctx context.Context, tx pgx.Tx, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	rows, _ := tx.Query(ctx, `
		SELECT d.id, d.channel, d.school, d.priority, coalesce(d.not_before, 'epoch')
		FROM schoolbell.ledger d
		LEFT JOIN schoolbell.ledger p ON p.id = d.depends_on AND d.depends_on <> ''
		WHERE (d.id = ANY ($1) OR d.depends_on = ANY ($1) AND d.depends_on <> '')
			AND d.state IN ('planned', 'unknown')
			AND (p.id IS NULL
				OR p.state IN ('sent', 'delivered', 'rendered', 'failed', 'cancelled'))
			AND d.id <> ALL (ARRAY(SELECT unnest(ids) FROM schoolbell.ledger_plans))
			AND NOT EXISTS (SELECT FROM schoolbell_river.river_job j WHERE j.args ->> 'id' = d.id
				AND j.state IN ('retryable', 'scheduled', 'available', 'running', 'pending'))
		ORDER BY d.id`, ids)
	jobs, err := pgx.CollectRows(rows, scanNewJob)
	if err != nil {
		return fmt.Errorf("find deliveries without a job: %w", err)
	}
	return l.insertJobs(ctx, tx, jobs)
}

func (c *comparison) report(ctx context.Context) {
	if c.lost == 0 && c.unknown == 0 {
		return
	}
	c.ledger.cfg.Logger.WarnContext(ctx, "the ledger was older than the log and has taken over "+
		"what that tells: nothing is sent again that may have been sent",
		"deliveries", c.lost, "outcomes", c.taken, "in_doubt", c.unknown)
}

// ranBefore says how far the ledger, or one that was lost, has planned a partition.
type ranBefore struct {
	planned int64 // all events below this offset have been planned
	past    int64 // events below this offset were planned by a ledger that was lost
}

// readBefore reads how far the partitions of some events have been planned. It fails with
// [ErrNotOpen] when one of them is not open.
func readBefore(
	ctx context.Context, tx pgx.Tx, plans []consumers.Planning,
) (before map[int32]*ranBefore, anyPast bool, err error) {
	before = map[int32]*ranBefore{}
	var n int32
	var at ranBefore
	rows, _ := tx.Query(ctx, `SELECT partition, planned, past,
			EXISTS (SELECT FROM schoolbell.ledger_past)
		FROM schoolbell.ledger_partitions
		WHERE opened = (SELECT schoolbell.ledger_incarnation())`)
	if _, err := pgx.ForEachRow(rows, []any{&n, &at.planned, &at.past, &anyPast}, func() error {
		b := at
		before[n] = &b
		return nil
	}); err != nil {
		return nil, false, fmt.Errorf("read how far the ledger has planned: %w", err)
	}
	for i := range plans {
		if p := plans[i].Event.Position.Partition; before[p] == nil {
			return nil, false, fmt.Errorf("partition %d: %w", p, ErrNotOpen)
		}
	}
	return before, anyPast, nil
}

// dropUnlisted leaves out deliveries of events that a lost ledger has planned, unless the log lists
// them: what followed from an event then is complete, whatever the facts are by now.
func dropUnlisted(
	ctx context.Context, tx pgx.Tx, plans []consumers.Planning, before map[int32]*ranBefore,
) error {
	isPast := func(p *consumers.Planning) bool {
		at := p.Event.Position
		return !p.Event.Replan && at.Offset < before[at.Partition].past
	}
	var ids []string
	for i := range plans {
		if p := &plans[i]; isPast(p) {
			for j := range p.Deliveries {
				ids = append(ids, p.Deliveries[j].ID)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, _ := tx.Query(ctx, `SELECT id FROM schoolbell.ledger_past WHERE id = ANY ($1)`, ids)
	listed := map[string]bool{}
	var id string
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		listed[id] = true
		return nil
	}); err != nil {
		return fmt.Errorf("read what a lost ledger has planned: %w", err)
	}
	for i := range plans {
		if p := &plans[i]; isPast(p) {
			p.Deliveries = slices.DeleteFunc(slices.Clone(p.Deliveries),
				func(d consumers.Delivery) bool { return !listed[d.ID] })
		}
	}
	return nil
}

// advance extends how far each partition has been planned by the events of a batch, as far as
// nothing is missing in between. What is missing follows with a later batch, or when the position
// that the consumers have saved has passed it.
func advance(plans []consumers.Planning, before map[int32]*ranBefore, saved map[int32]int64) {
	for n, b := range before {
		b.planned = max(b.planned, saved[n])
	}
	order := make([]*consumers.Event, 0, len(plans))
	for i := range plans {
		if e := &plans[i].Event; !e.Replan {
			order = append(order, e)
		}
	}
	slices.SortFunc(order, func(a, b *consumers.Event) int {
		return int(a.Position.Offset - b.Position.Offset)
	})
	for _, e := range order {
		b := before[e.Position.Partition]
		if offset := e.Position.Offset; offset-e.Gap <= b.planned && offset >= b.planned {
			b.planned = offset + 1
		}
	}
}
