package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
)

// task is the job of a delivery.
type task struct {
	ID      string            `json:"id"`
	Channel consumers.Channel `json:"channel"`
}

// Kind implements [river.JobArgs].
func (task) Kind() string { return "deliver" }

// newJob is a job to insert.
type newJob struct {
	task
	school   string
	priority consumers.Priority
	at       time.Time // zero: at once
	position time.Time // queue position, if at once
}

func (j *newJob) line() line { return line{QueueOf(j.Channel), j.priority} }

// Commit implements [consumers.Ledger]. Deliveries and jobs are in one transaction, so there is no
// delivery without a job and no job without a delivery, whatever crashes. The order of the steps
// matters: what was planned before, by this ledger or a lost one, is left out before anything is
// inserted, and how far was planned is stored last, in a row that other transactions wait for.
func (l *Ledger) Commit(ctx context.Context, plans []consumers.Planning) (planned int, err error) {
	for {
		planned, err = l.commit(ctx, plans)
		if !errors.Is(err, ErrNotOpen) {
			break
		}
		if err := l.awaitOpen(ctx, err); err != nil {
			return 0, err
		}
	}
	if planned > 0 {
		wakeUp(l.plans)
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && rejects(pg.Code) {
		return 0, fmt.Errorf("%w: %w", consumers.ErrRejected, err)
	}
	return planned, err
}

// awaitOpen compares the ledger with the log, or waits a little while another process does so. When
// ctx ends it fails with the reason for waiting.
func (l *Ledger) awaitOpen(ctx context.Context, reason error) error {
	if err := l.Open(ctx); err != nil {
		return errors.Join(reason, err)
	}
	select {
	case <-time.After(openPause):
		return nil
	case <-ctx.Done():
		return errors.Join(reason, ctx.Err())
	}
}

const openPause = 20 * time.Millisecond

func (l *Ledger) commit(
	ctx context.Context, plans []consumers.Planning,
) (planned int, err error) {
	var letters []bool
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		before, anyPast, err := readBefore(ctx, tx, plans)
		if err != nil {
			return err
		}
		saved, err := checkpoint.Furthest(ctx, tx, l.cfg.Group)
		if err != nil {
			return err
		}
		fresh := dropReplayed(plans, saved)
		deliveries, err := insertInOrder(ctx, tx, fresh, before, anyPast)
		if err != nil {
			return err
		}
		planned = len(deliveries)
		if err := insertFactsAt(ctx, tx, fresh); err != nil {
			return err
		}
		if letters, err = commitDeadLetters(ctx, tx, plans); err != nil {
			return err
		}
		return storePlanned(ctx, tx, plans, deliveries, before, saved)
	})
	if err == nil {
		l.countDeadLetters(letters)
	}
	return planned, err
}

// storePlanned stores how far was planned, and what is to be announced.
func storePlanned(
	ctx context.Context, tx pgx.Tx, plans []consumers.Planning, deliveries []*consumers.Delivery,
	before map[int32]*ranBefore, saved map[int32]int64,
) error {
	advance(plans, before, saved)
	through := map[int32]int64{}
	for n, b := range before {
		through[n] = b.planned
	}
	if err := storePlans(ctx, tx, deliveries, through); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for _, n := range slices.Sorted(maps.Keys(through)) { // so that two transactions lock in one order
		batch.Queue(`UPDATE schoolbell.ledger_partitions SET planned = $2
			WHERE partition = $1 AND planned < $2`, n, through[n])
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("store how far was planned: %w", err)
	}
	return nil
}

// rejects reports that an SQLSTATE is about the data: a bad value, a violated constraint, a limit.
func rejects(code string) bool {
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23") ||
		strings.HasPrefix(code, "54")
}

// dropReplayed leaves out the plans of events that were planned before, when the log is read again.
// Their deliveries are in the ledger; and an event that led to none leads to none now, even if the
// facts have changed: no parent wants a text about an absence of last year because the school has
// learnt their telephone number.
func dropReplayed(
	plans []consumers.Planning, planned map[int32]int64,
) []consumers.Planning {
	fresh := plans[:0:0]
	for i := range plans {
		p := &plans[i]
		if p.Event.Replan || p.Event.Position.Offset >= planned[p.Event.Position.Partition] {
			fresh = append(fresh, *p)
		}
	}
	return fresh
}

// insertInOrder inserts the deliveries of plans, brings them up to what the log tells of them, and
// returns those that are new. Where a lost ledger had some of them, what one plan takes back may have
// been told because of another one just before, so that one comes first.
func insertInOrder(
	ctx context.Context, tx pgx.Tx, plans []consumers.Planning, before map[int32]*ranBefore,
	anyPast bool,
) (all []*consumers.Delivery, err error) {
	for _, stretch := range stretches(plans, anyPast) {
		if err := addressRetractions(ctx, tx, stretch); err != nil {
			return nil, err
		}
		if err := dropUnlisted(ctx, tx, stretch, before); err != nil {
			return nil, err
		}
		inserted, err := insertDeliveries(ctx, tx, stretch)
		if err != nil {
			return nil, err
		}
		all = append(all, inserted...)
		if !anyPast || len(inserted) == 0 {
			continue
		}
		taken, _, err := takeOver(ctx, tx, idsOf(inserted))
		if err != nil {
			return nil, err
		}
		others, err := takeOtherWays(ctx, tx, taken)
		if err != nil {
			return nil, err
		}
		all = append(all, others...)
	}
	return all, nil
}

// stretches cuts plans before each one that takes something back, or not at all.
func stretches(plans []consumers.Planning, cut bool) (all [][]consumers.Planning) {
	from := 0
	for i := range plans {
		if cut && i > from && slices.ContainsFunc(plans[i].Deliveries, retracts) {
			all, from = append(all, plans[from:i]), i
		}
	}
	return append(all, plans[from:])
}

func retracts(d consumers.Delivery) bool { return d.Retracts }

func idsOf(all []*consumers.Delivery) []string {
	ids := make([]string, len(all))
	for i, d := range all {
		ids[i] = d.ID
	}
	return ids
}

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

// insertFactsAt stores up to where the facts reached with which events were planned, if that was
// further than the event itself: when the planners had fallen behind. With it package verify can
// recompute a plan, even one without deliveries.
func insertFactsAt(ctx context.Context, tx pgx.Tx, plans []consumers.Planning) error {
	var partitions []int32
	var offsets, factsAt []int64
	for i := range plans {
		p := &plans[i]
		if at := p.Event.Position; p.UsedFacts && p.Fault == nil && p.FactsAt > at.Offset {
			partitions, offsets = append(partitions, at.Partition), append(offsets, at.Offset)
			factsAt = append(factsAt, p.FactsAt)
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO schoolbell.ledger_known (partition, log_offset, known_at)
		SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bigint[])
		ON CONFLICT DO NOTHING`, partitions, offsets, factsAt); err != nil {
		return fmt.Errorf("store how far the facts reached: %w", err)
	}
	return nil
}

func (l *Ledger) insertJobs(ctx context.Context, tx pgx.Tx, jobs []*newJob) error {
	if len(jobs) == 0 {
		return nil
	}
	now := time.Now()
	for _, j := range jobs {
		if j.at.Before(now) { // the end of quiet hours has passed, for example
			j.at = time.Time{}
		}
	}
	if err := l.queue.assign(ctx, tx, jobs); err != nil {
		return err
	}
	// A time in the past is a queue position; see fairqueue.go.
	params := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		at := j.at
		if at.IsZero() {
			at = j.position
		}
		params[i] = river.InsertManyParams{Args: j.task, InsertOpts: &river.InsertOpts{
			Queue: QueueOf(j.Channel), Priority: int(j.priority), ScheduledAt: at,
		}}
	}
	if _, err := l.river.InsertManyFastTx(ctx, tx, params); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	return nil
}
