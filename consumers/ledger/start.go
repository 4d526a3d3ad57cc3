package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// started is a delivery that a worker has started, before it has called any provider.
type started struct {
	consumers.Delivery
	before    consumers.State // Planned; or Sending or Unknown: it may have been done already
	fence     int64
	maybeSent bool // an earlier attempt may have done it
	attempts  int  // this one included
	plannedAt time.Time
	// sinceRequest is the time since the provider may last have been called, by the database's
	// clock; none unless before is Unknown.
	sinceRequest time.Duration
	waited       time.Duration // since it was planned
	// closed says that the recipient may not hear of the student any more, or has left the school.
	closed bool
}

// deliveryColumns are those that a deliveryRow reads, of the ledger as l: the delivery as it was last
// sent.
const deliveryColumns = `l.id, l.school, l.source, l.event_id, l.event_type, l.planner, l.recipient,
	l.channel, coalesce(l.sent_to, l.address), coalesce(l.sent_params, l.params), ` + moreColumns

// planColumns are those of the delivery as it was planned.
const planColumns = `l.id, l.school, l.source, l.event_id, l.event_type, l.planner, l.recipient,
	l.channel, l.address, l.params, ` + moreColumns

const moreColumns = `l.about, l.once, l.template, l.language, l.sender, l.depends_on,
	l.correlation_id, l.student, l.partition, l.log_offset, l.priority, l.not_before, l.not_after, l.topic,
	l.retracts, l.otherwise, l.instead_of, CASE WHEN l.depends_on <> '' THEN
		(SELECT p.document FROM schoolbell.ledger p WHERE p.id = l.depends_on) END`

// deliveryRow reads the columns of a delivery.
type deliveryRow struct {
	*consumers.Delivery
	document, otherwise []byte
	notBefore, notAfter *time.Time
}

func (r *deliveryRow) targets() []any {
	d := r.Delivery
	return []any{
		&d.ID, &d.School, &d.Source, &d.EventID, &d.EventType, &d.Planner, &d.Recipient,
		&d.Channel, &d.Address, (*[]byte)(&d.Params), &d.About, &d.Once, &d.Template, &d.Language,
		&d.Sender, &d.DependsOn, &d.CorrelationID, &d.Student, &d.Position.Partition,
		&d.Position.Offset, &d.Priority, &r.notBefore, &r.notAfter, &d.Topic, &d.Retracts, &r.otherwise, &d.InsteadOf,
		&r.document,
	}
}

func (r *deliveryRow) finish() error {
	if r.notBefore != nil {
		r.NotBefore = r.notBefore.UTC()
	}
	if r.notAfter != nil {
		r.NotAfter = r.notAfter.UTC()
	}
	if r.otherwise != nil {
		if err := json.Unmarshal(r.otherwise, &r.Otherwise); err != nil {
			return fmt.Errorf("read whom delivery %s goes to otherwise: %w", r.ID, err)
		}
	}
	if r.document != nil {
		if err := json.Unmarshal(r.document, &r.Document); err != nil {
			return fmt.Errorf("read document of delivery %s: %w", r.ID, err)
		}
	}
	return nil
}

// startSQL records that deliveries are being sent, before any provider is called, and fences
// earlier starts. It returns none that is done, dead or cancelled. The attempt before one that finds
// the state sending was cut off: it may have called the provider until now.
const startSQL = `
UPDATE schoolbell.ledger l SET before = state, state = 'sending', fence = fence + 1,
	attempts = attempts + 1, started_at = now(), changed_at = now(),
	cleared = cleared AND (state <> 'planned' OR error_class = 'unknown'),
	requested_at = CASE WHEN state = 'unknown' THEN coalesce(requested_at, now()) ELSE now() END
WHERE id = ANY ($1) AND state IN ('planned', 'sending', 'unknown')
	AND partition = ANY (ARRAY(` + openPartitionsSQL + `))
RETURNING ` + deliveryColumns + `, l.before, l.fence, l.attempts, l.planned_at,
	now() - l.requested_at, now() - l.planned_at, l.before <> 'planned' OR l.error_class = 'unknown'`

// notOpen is the result of a start that has to wait until the ledger was compared with the log.
var notOpen = &started{}

// startBatch starts deliveries. The result is nil for one that there is nothing left to do about, and
// notOpen while that cannot be said of all.
func (l *Ledger) startBatch(ctx context.Context, ids []string) ([]*started, error) {
	var found []*started
	var open int32
	batch := &pgx.Batch{} // one transaction, so the settings hold for the update
	batch.Queue(forceIndexScans)
	// Counted before and not after: a partition that opens in between has its deliveries not started,
	// which must not look as if there were nothing to do about them.
	batch.Queue(`SELECT count(*) FROM (` + openPartitionsSQL + `) o`).
		QueryRow(func(row pgx.Row) error { return row.Scan(&open) })
	batch.Queue(startSQL, ids).Query(func(rows pgx.Rows) (err error) {
		found, err = pgx.CollectRows(rows, scanStarted)
		return err
	})
	if err := l.pool.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("start %d deliveries: %w", len(ids), err)
	}
	if err := l.closeToLeavers(ctx, found); err != nil {
		return nil, err
	}
	byID := make(map[string]*started, len(found))
	for _, s := range found {
		byID[s.ID] = s
	}
	out := make([]*started, len(ids))
	for i, id := range ids {
		out[i] = byID[id]
		if n := l.partitions.Load(); out[i] == nil && (n == 0 || open < n) {
			out[i] = notOpen
		}
	}
	return out, nil
}

func scanStarted(row pgx.CollectableRow) (*started, error) {
	s := &started{}
	r := deliveryRow{Delivery: &s.Delivery}
	targets := append(r.targets(), &s.before, &s.fence, &s.attempts, &s.plannedAt, &s.sinceRequest,
		&s.waited, &s.maybeSent)
	if err := row.Scan(targets...); err != nil {
		return nil, err
	}
	return s, r.finish()
}
