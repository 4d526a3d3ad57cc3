package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/delivery"
	"github.com/schoolbell/schoolbell/domain/document"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/eventlog"
)

// comparison finds what the log says about deliveries that the ledger does not have.
type comparison struct {
	ledger  *Ledger
	tx      pgx.Tx
	topic   eventlog.Topic
	through map[int32]int64 // by partition, below which offset the log says all was planned

	lost    int64 // deliveries of which the log says more than the ledger has
	taken   int   // of those, deliveries of the ledger whose outcome was taken over
	unknown int   // deliveries that may have been sent since
}

// logged is what the log says about one delivery.
type logged struct {
	id, school           string
	state                consumers.State // Planned, or the outcome
	fence                int64           // of the start that the outcome is of
	provider, providerID string
	cost                 int64
	err                  string
	document             []byte
}

// weight orders the outcomes of one start.
func (t *logged) weight() int32 {
	switch t.state {
	case consumers.Sent:
		return 1
	case consumers.Failed, consumers.Cancelled:
		return 2
	case consumers.Delivered:
		return weightArrived
	case consumers.Rendered:
		return weightArrived + 1
	default:
		return 0
	}
}

// weightArrived is the weight from which on an outcome counts whichever start it is of.
const weightArrived = 3

// heavier reports whether an outcome counts more than another of the same delivery.
func (t *logged) heavier(than *logged) bool {
	a, b := t.weight(), than.weight()
	if a >= weightArrived || b >= weightArrived || t.fence == than.fence {
		return a > b
	}
	return t.fence > than.fence
}

// loggedIn returns what an event says about deliveries.
func loggedIn(e *domain.Envelope) ([]logged, error) {
	one := func(state consumers.State, o *delivery.Outcome) []logged {
		return []logged{{
			id: o.DeliveryID, school: e.School, state: state, fence: fenceOf(e.ID),
			provider: o.Provider, providerID: o.ProviderID, cost: o.Cost, err: o.Error,
		}}
	}
	switch m := e.Data.(type) {
	case *delivery.Planned:
		all := make([]logged, len(m.Deliveries))
		for i, id := range m.Deliveries {
			all[i] = logged{id: id, school: e.School, state: consumers.Planned}
		}
		return all, nil
	case *delivery.Sent:
		return one(consumers.Sent, (*delivery.Outcome)(m)), nil
	case *delivery.Delivered:
		return one(consumers.Delivered, (*delivery.Outcome)(m)), nil
	case *delivery.Failed:
		return one(consumers.Failed, (*delivery.Outcome)(m)), nil
	case *delivery.Cancelled:
		return one(consumers.Cancelled, (*delivery.Outcome)(m)), nil
	case *document.Rendered:
		doc, err := json.Marshal(consumers.Document{
			Kind: m.Kind, StudentID: m.StudentID, SHA256: m.SHA256, Bytes: m.Bytes,
		})
		return []logged{{
			id: m.DocumentID, school: e.School, state: consumers.Rendered, fence: fenceOf(e.ID),
			document: doc,
		}}, err
	}
	return nil, nil
}

// fenceOf reads which start an outcome is of: the end of the event's id, as newOutcome makes it.
func fenceOf(eventID string) int64 {
	n, err := strconv.ParseInt(eventID[strings.LastIndexByte(eventID, '-')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

const (
	scanBytes = 1 << 20
	scanWait  = 500 * time.Millisecond
)

// scan reads a partition from an offset to its end, and returns the end.
func (c *comparison) scan(ctx context.Context, partition int32, from int64) (int64, error) {
	start, end, err := c.ledger.cfg.Source.Bounds(ctx, partition)
	if err != nil {
		return 0, err
	}
	for next := max(from, start); next < end; {
		batch, err := c.ledger.cfg.Source.Fetch(ctx, partition, next, scanBytes, scanWait)
		if broken, ok := errors.AsType[*eventlog.UndecodableError](err); ok {
			next = broken.Last + 1
			continue
		}
		if err != nil {
			return 0, err
		}
		if err := c.read(ctx, partition, batch.Records); err != nil {
			return 0, err
		}
		next = batch.Next
	}
	return end, nil
}

// read looks at some records, most of which are about something else.
func (c *comparison) read(ctx context.Context, partition int32, records []eventlog.Record) error {
	found := map[string]logged{}
	reminders := map[invoice]reminded{}
	for i := range records {
		rec := &records[i]
		if s := rec.Header(eventlog.HeaderSource); s != Source && s != ReminderSource {
			continue
		}
		e, err := eventlog.Decode(c.ledger.cfg.Decode, rec, c.topic.Partitions)
		if err != nil {
			continue // nobody uses it
		}
		if m, ok := e.Data.(*fee.ReminderDue); ok {
			r := reminded{reminderNumber(e.ID), domain.DateOf(e.Time.UTC())}
			if k := (invoice{e.School, m.InvoiceID}); r.made > reminders[k].made {
				reminders[k] = r
			}
		}
		if m, ok := e.Data.(*delivery.Planned); ok && m.Through != "" {
			at, err := domain.ParsePosition(m.Through)
			if err == nil && at.Partition == partition {
				c.through[partition] = max(c.through[partition], at.Offset+1)
			}
		}
		all, err := loggedIn(e)
		if err != nil {
			return fmt.Errorf("read event %s: %w", e.ID, err)
		}
		for _, t := range all {
			if other, ok := found[t.id]; !ok || t.heavier(&other) {
				found[t.id] = t
			}
		}
	}
	if err := c.storeReminders(ctx, reminders); err != nil || len(found) == 0 {
		return err
	}
	return c.store(ctx, partition, found)
}

// storePastSQL stores what the ledger does not have. It has what it says itself: a plan when there
// is the row, an outcome when the row is of that start or a later one and no longer being sent.
const storePastSQL = `
INSERT INTO schoolbell.ledger_past AS p (id, school, partition, state, weight, fence, provider,
	provider_id, cost, error, document)
SELECT u.id, u.school, $1, u.state, u.weight, u.fence, u.provider, u.provider_id, u.cost, u.error,
	u.document
FROM unnest($2::text[], $3::text[], $4::text[], $5::integer[], $6::bigint[], $7::text[], $8::text[],
	$9::bigint[], $10::text[], $11::jsonb[])
	AS u (id, school, state, weight, fence, provider, provider_id, cost, error, document)
LEFT JOIN schoolbell.ledger l ON l.id = u.id
WHERE l.id IS NULL OR u.weight > 0 AND (l.fence < u.fence OR l.fence = u.fence
	AND (l.state IN ('sending', 'unknown') OR l.state = 'sent' AND u.weight > 1))
ON CONFLICT (id) DO UPDATE SET state = excluded.state, weight = excluded.weight,
	fence = excluded.fence, provider = excluded.provider, provider_id = excluded.provider_id,
	cost = greatest(p.cost, excluded.cost), error = excluded.error, document = excluded.document
WHERE CASE WHEN greatest(p.weight, excluded.weight) >= 3 OR p.fence = excluded.fence
	THEN excluded.weight > p.weight ELSE excluded.fence > p.fence END`

func (c *comparison) store(ctx context.Context, partition int32, found map[string]logged) error {
	var ids, schools, states, providers, providerIDs, texts []string
	var weights []int32
	var fences, costs []int64
	var documents [][]byte
	for _, t := range found {
		ids, schools, states = append(ids, t.id), append(schools, t.school), append(states, string(t.state))
		weights, fences = append(weights, t.weight()), append(fences, t.fence)
		providers, providerIDs = append(providers, t.provider), append(providerIDs, t.providerID)
		costs, texts = append(costs, t.cost), append(texts, storable(t.err))
		documents = append(documents, t.document)
	}
	tag, err := c.tx.Exec(ctx, storePastSQL, partition, ids, schools, states, weights, fences,
		providers, providerIDs, costs, texts, documents)
	if err != nil {
		return fmt.Errorf("store what the log says of deliveries: %w", err)
	}
	c.lost += tag.RowsAffected()
	return nil
}

type invoice struct{ school, id string }

// storeReminders counts reminders that the ledger may not have. Their days are by Greenwich's clock,
// which is near enough for the next one, days later.
func (c *comparison) storeReminders(ctx context.Context, found map[invoice]reminded) error {
	var schools, ids []string
	var numbers []int32
	var days []time.Time
	for k, r := range found {
		schools, ids = append(schools, k.school), append(ids, k.id)
		numbers, days = append(numbers, int32(r.made)), append(days, r.last.Time())
	}
	if len(ids) == 0 {
		return nil
	}
	if _, err := c.tx.Exec(ctx, `
		INSERT INTO schoolbell.ledger_reminders AS r (school, invoice_id, made, last_on)
		SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::date[])
		ON CONFLICT (school, invoice_id) DO UPDATE SET made = excluded.made,
			last_on = greatest(r.last_on, excluded.last_on) WHERE r.made < excluded.made`,
		schools, ids, numbers, days); err != nil {
		return fmt.Errorf("count reminders: %w", err)
	}
	return nil
}
