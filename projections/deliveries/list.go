package deliveries

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

// A delivery has two sources. The ledger has it from the moment when it is planned; the log, and so
// the table of this projection, from its first outcome on. What is still to be done is read from
// the ledger, outcomes from the log. A list without a status is the ledger's, followed by what only
// the log has: deliveries of other systems, or those from before the ledger was lost.

// openStatuses are the statuses that only the ledger has.
var openStatuses = []string{"planned", "sending", "unknown", "dead", "cancelled"}

// statusSQL is the log's status where it has one, unless the delivery has been retried since.
const statusSQL = `CASE WHEN l.state IN ` + openSQL + ` THEN l.state
	ELSE coalesce(d.status, l.state) END`

const openSQL = `('planned', 'sending', 'unknown', 'dead', 'cancelled')`

// statusOf is statusSQL for rows that were read separately.
func statusOf(ledger, log string) string {
	if log == "" || slices.Contains(openStatuses, ledger) {
		return ledger
	}
	return log
}

const plannedSQL read.SQL = `-- deliveries.planned
SELECT l.id, ` + statusSQL + `, l.channel, l.recipient,
	coalesce(nullif(d.provider, ''), l.provider), coalesce(nullif(d.provider_id, ''),
	l.provider_id),
	greatest(d.cost, l.cost),
	CASE WHEN l.state IN ` + openSQL + ` THEN l.error ELSE coalesce(d.error, l.error) END,
	l.event_id, l.correlation_id, coalesce(d.position, 0), coalesce(d.kind, ''),
	coalesce(d.student_id, ''), coalesce(d.sha256, ''), coalesce(d.bytes, 0),
	d.sent_at, d.delivered_at, d.failed_at, d.rendered_at, l.planner, l.planned_at
FROM delivery_plans l LEFT JOIN deliveries d ON d.school = $1 AND d.delivery_id = l.id
WHERE l.school = $1 AND (l.planned_at, l.id) < ($2, $3) /*where*/
ORDER BY l.planned_at DESC, l.id DESC LIMIT $4`

const outcomesSQL read.SQL = `-- deliveries.outcomes
SELECT d.delivery_id, ` + statusSQL + `, d.channel, d.recipient, d.provider, d.provider_id,
	greatest(d.cost, l.cost), d.error, d.cause, d.correlation, d.position, d.kind, d.student_id,
	d.sha256, d.bytes, d.sent_at, d.delivered_at, d.failed_at, d.rendered_at,
	coalesce(l.planner, ''), l.planned_at
FROM deliveries d LEFT JOIN delivery_plans l ON l.school = $1 AND l.id = d.delivery_id
WHERE d.school = $1 AND d.position < $2 AND (l.state IS NULL OR l.state NOT IN ` + openSQL + `)
	/*where*/ ORDER BY d.position DESC LIMIT $3`

const unplannedSQL read.SQL = `-- deliveries.unplanned
SELECT ` + columns + ` FROM deliveries d
WHERE d.school = $1 AND d.position < $2
	AND NOT EXISTS (SELECT FROM delivery_plans l WHERE l.school = $1 AND l.id = d.delivery_id)
	/*where*/ ORDER BY d.position DESC LIMIT $3`

const eventTotalsSQL read.SQL = `-- deliveries.event_totals
SELECT ` + statusSQL + `, l.channel, count(*), sum(greatest(d.cost, l.cost))::bigint
FROM delivery_plans l LEFT JOIN deliveries d ON d.school = $1 AND d.delivery_id = l.id
WHERE l.school = $1 AND l.event_id = $2 GROUP BY 1, 2
UNION ALL
SELECT d.status, d.channel, count(*), sum(d.cost)::bigint FROM deliveries d
WHERE d.school = $1 AND d.cause = $2
	AND NOT EXISTS (SELECT FROM delivery_plans l WHERE l.school = $1 AND l.id = d.delivery_id)
GROUP BY 1, 2`

const (
	newest    = int64(1<<63 - 1)
	usualPage = 50
	mostPage  = 500
)

// cursor is where a page ends: in what the ledger has, or in what the log has.
type cursor struct {
	PlannedAt int64  `json:"planned_at,omitzero"` // in microseconds
	ID        string `json:"id,omitzero"`
	Log       bool   `json:"log,omitzero"`
	Position  int64  `json:"position,omitzero"`
}

func (d *Delivery) cursor(ofLog bool) cursor {
	if ofLog {
		return cursor{Log: true, Position: d.position}
	}
	return cursor{PlannedAt: d.planned.UnixMicro(), ID: d.ID}
}

func list(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) (*List, error) {
	after, err := read.ParseCursor[cursor](in.After)
	if err != nil {
		return nil, err
	}
	limit := read.Page(in.Limit, usualPage, mostPage)
	begin := cursor{
		PlannedAt: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(),
		Position:  newest,
	}
	if after != nil && after.Log {
		begin = *after
	} else if after != nil {
		begin.PlannedAt, begin.ID = after.PlannedAt, after.ID
	}
	outcome := in.Status != "" && !slices.Contains(openStatuses, in.Status)

	var all []Delivery
	if !outcome && !begin.Log {
		where, args := in.conditions("l", scope, scope.School,
			time.UnixMicro(begin.PlannedAt).UTC(), begin.ID, limit+1)
		if all, err = read.All(ctx, tx, plannedSQL.With(where...), deliveryFields,
			args...); err != nil {
			return nil, err
		}
	}
	planned := len(all)
	if missing := limit + 1 - planned; missing > 0 &&
		(outcome || in.Status == "" && in.Rule == "") {
		sql := unplannedSQL
		if outcome {
			sql = outcomesSQL
		}
		where, args := in.conditions("d", scope, scope.School, begin.Position, missing)
		more, err := read.All(ctx, tx, sql.With(where...), deliveryFields, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	a := &List{}
	a.Deliveries, a.Next, err = read.Cut(all, limit,
		func(d Delivery) cursor { return d.cursor(limit > planned) })
	if err != nil {
		return nil, err
	}
	finish(a.Deliveries, scope)
	if in.Event != "" && scope.Self == "" {
		a.Totals, err = eventTotals(ctx, tx, scope, in)
	}
	return a, err
}

// eventTotals sums up what an event has led to.
func eventTotals(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *input,
) (*EventTotals, error) {
	type group struct {
		status, channel string
		n, cost         int64
	}
	groups, err := read.All(ctx, tx, eventTotalsSQL, func(g *group) []any {
		return []any{&g.status, &g.channel, &g.n, &g.cost}
	}, scope.School, in.Event)
	t := &EventTotals{ByStatus: map[string]int64{}, ByChannel: map[string]int64{}}
	for _, g := range groups {
		t.Deliveries, t.Cost = t.Deliveries+g.n, t.Cost+g.cost
		t.ByStatus[g.status] += g.n
		t.ByChannel[g.channel] += g.n
	}
	return t, err
}

// conditions adds those of an input to a statement's parameters, on the ledger (l) or the outcomes
// (d). The status is written out, as only so the index of those that failed can be used.
func (in *input) conditions(of string, scope query.Scope, args ...any) (where []string, all []any) {
	add := func(column, value string) {
		if value != "" {
			args = append(args, value)
			where = append(where, fmt.Sprintf("%s.%s = $%d", of, column, len(args)))
		}
	}
	switch { // the status is one of an enumeration
	case in.Status == "":
	case of == "d":
		where = append(where, "d.status = '"+in.Status+"'")
	default:
		where = append(where, "l.state = '"+in.Status+"'")
		// they are few, and have a list of their own
		if in.Status == "dead" || in.Status == "unknown" {
			where = append(where,
				"l.id IN (SELECT t.id FROM delivery_problems t WHERE t.school = $1)")
		}
	}
	if in.Rule != "" { // only the ledger has it, so what only the log has is of no rule
		args = append(args, in.Rule)
		where = append(where, fmt.Sprintf("l.planner = $%d", len(args)))
	}
	add("channel", in.Channel)
	add("recipient", in.Recipient)
	add("recipient", scope.Self)
	add(map[string]string{"l": "event_id", "d": "cause"}[of], in.Event)
	return where, args
}
