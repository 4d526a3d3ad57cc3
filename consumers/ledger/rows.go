package ledger

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// insertDeliveries returns those that are new, in their order.
func insertDeliveries(
	ctx context.Context, tx pgx.Tx, plans []consumers.Planning,
) ([]*consumers.Delivery, error) {
	before, err := plannedBefore(ctx, tx, plans)
	if err != nil {
		return nil, err
	}
	var fresh []*consumers.Delivery
	for i := range plans {
		for j := range plans[i].Deliveries {
			if d := &plans[i].Deliveries[j]; !before[ruleRunOf(d)] { // else the rule is complete
				fresh = append(fresh, d)
			}
		}
	}
	return insertRows(ctx, tx, fresh)
}

// insertRows inserts deliveries, but for those that exist, and returns the others. Those that cannot
// be done have failed, and say so in the log.
func insertRows(
	ctx context.Context, tx pgx.Tx, all []*consumers.Delivery,
) ([]*consumers.Delivery, error) {
	var c columns
	byID := map[string]*consumers.Delivery{}
	for _, d := range all {
		if byID[d.ID] != nil {
			continue // planned twice, for example for a parent of two
		}
		byID[d.ID] = d
		if err := c.add(d); err != nil {
			return nil, err
		}
	}
	if len(byID) == 0 {
		return nil, nil
	}
	rows, _ := tx.Query(ctx, insertSQL, c.args()...)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("insert deliveries: %w", err)
	}
	inserted := make([]*consumers.Delivery, len(ids))
	for i, id := range ids {
		d := byID[id]
		inserted[i] = d
		if d.Unreachable == "" {
			continue
		}
		event, err := newOutcome(d, consumers.Failed, 0, nobody, consumers.Receipt{}, d.Unreachable)
		if err == nil {
			err = insertOutcome(ctx, tx, d.School, event)
		}
		if err != nil {
			return nil, err
		}
	}
	return inserted, nil
}

// nobody is the provider of what nobody could send.
const nobody = "none"

// ruleRun is a planner and the event that it planned.
type ruleRun struct{ school, source, event, planner string }

func ruleRunOf(d *consumers.Delivery) ruleRun {
	return ruleRun{d.School, d.Source, d.EventID, d.Planner}
}

// plannedBefore finds which planners have planned which events before. What they planned then is
// complete: with the facts of today they might find other recipients. It is looked up before
// anything is inserted, and once for each event: in one statement with the insertion, every
// recipient of a notice would find the rows of those before them.
func plannedBefore(
	ctx context.Context, tx pgx.Tx, plans []consumers.Planning,
) (map[ruleRun]bool, error) {
	listed := map[ruleRun]bool{}
	var list []ruleRun
	var columns [4][]string
	for i := range plans {
		for j := range plans[i].Deliveries {
			a := ruleRunOf(&plans[i].Deliveries[j])
			if listed[a] {
				continue
			}
			listed[a] = true
			list = append(list, a)
			for i, v := range [4]string{a.school, a.source, a.event, a.planner} {
				columns[i] = append(columns[i], v)
			}
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	before := map[ruleRun]bool{}
	batch := &pgx.Batch{}
	batch.Queue(forceIndexScans)
	lookup := batch.Queue(plannedBeforeSQL, columns[0], columns[1], columns[2], columns[3])
	lookup.Query(func(rows pgx.Rows) error {
		var n int
		_, err := pgx.ForEachRow(rows, []any{&n}, func() error {
			before[list[n-1]] = true
			return nil
		})
		return err
	})
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("look up what was planned before: %w", err)
	}
	return before, nil
}

const plannedBeforeSQL = `
SELECT u.n FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
	AS u (school, source, event_id, planner, n)
WHERE EXISTS (SELECT FROM schoolbell.ledger l
	WHERE l.school = u.school AND l.event_id = u.event_id AND l.planner = u.planner
		AND l.source = u.source)`

const insertSQL = `
INSERT INTO schoolbell.ledger (id, school, source, event_id, event_type, planner, recipient, channel,
	queue, address, about, once, template, params, language, sender, depends_on, correlation_id,
	student, topic, instead_of, error, retracts, otherwise, partition, log_offset, priority,
	not_before, not_after, state, error_class)
SELECT u.id, u.school, u.source, u.event_id, u.event_type, u.planner, u.recipient, u.channel,
	u.queue, u.address, u.about, u.once, u.template, u.params::jsonb, u.language, u.sender,
	u.depends_on, u.correlation_id, u.student, u.topic, u.instead_of, u.error, u.retracts,
	u.otherwise::jsonb, u.partition, u.log_offset, u.priority, u.not_before, u.not_after,
	CASE WHEN u.error = '' THEN 'planned' ELSE 'failed' END,
	CASE WHEN u.error = '' THEN '' ELSE 'unreachable' END
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
	$8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
	$15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[],
	$22::text[], $23::boolean[], $24::text[], $25::integer[], $26::bigint[], $27::smallint[],
	$28::timestamptz[], $29::timestamptz[])
	AS u (id, school, source, event_id, event_type, planner, recipient, channel, queue, address,
		about, once, template, params, language, sender, depends_on, correlation_id, student, topic,
		instead_of, error, retracts, otherwise, partition, log_offset, priority, not_before, not_after)
ON CONFLICT (id) DO NOTHING
RETURNING id`

// columns are deliveries, column by column: one statement with 29 arrays inserts thousands of rows,
// where one row with 29 parameters each would have to be split at 65,535 parameters.
type columns struct {
	texts               [22][]string
	retracts            []bool
	otherwise           []*string
	partition           []int32
	offset              []int64
	priority            []int16
	notBefore, notAfter []*time.Time
}

func (c *columns) add(d *consumers.Delivery) error {
	for i, v := range [22]string{
		d.ID, d.School, d.Source, d.EventID, d.EventType, d.Planner, d.Recipient,
		string(d.Channel), QueueOf(d.Channel), d.Address, d.About, d.Once, d.Template,
		cmp.Or(string(d.Params), "{}"), d.Language, d.Sender, d.DependsOn, d.CorrelationID,
		d.Student, d.Topic, d.InsteadOf, storable(d.Unreachable),
	} {
		c.texts[i] = append(c.texts[i], v)
	}
	var otherwise *string
	if len(d.Otherwise) > 0 {
		encoded, err := json.Marshal(d.Otherwise)
		if err != nil {
			return fmt.Errorf("encode whom delivery %s goes to otherwise: %w", d.ID, err)
		}
		text := string(encoded)
		otherwise = &text
	}
	c.otherwise = append(c.otherwise, otherwise)
	c.retracts = append(c.retracts, d.Retracts)
	c.partition = append(c.partition, d.Position.Partition)
	c.offset = append(c.offset, d.Position.Offset)
	c.priority = append(c.priority, int16(d.Priority))
	c.notBefore = append(c.notBefore, orNull(d.NotBefore))
	c.notAfter = append(c.notAfter, orNull(d.NotAfter))
	return nil
}

func (c *columns) args() []any {
	args := make([]any, 0, 29)
	for _, texts := range c.texts {
		args = append(args, texts)
	}
	return append(args, c.retracts, c.otherwise, c.partition, c.offset, c.priority, c.notBefore,
		c.notAfter)
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
