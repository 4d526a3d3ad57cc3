package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// check decides, right before a provider is called, whether a delivery is still true, and changes it
// to what is true by now. It returns the result of the attempt where the delivery is not to be sent,
// and nil where it is.
func (l *Ledger) check(ctx context.Context, f *finish) *finish {
	if l.checks == nil {
		return nil
	}
	c, err := l.checks.submit(ctx, f.started)
	if err == nil {
		err = c.Fault
	}
	switch {
	case errors.Is(err, consumers.ErrRule): // it will not be better next time, so it is an attempt
		return f.retryLater(ctx, l, consumers.Temporary, 0, err)
	case err != nil:
		return f.undecided(l, fmt.Errorf("find out whether it is still true: %w", err))
	case c.wait:
		return f.undecided(l, errors.New("it is not certain yet what was said about this before"))
	case c.Overtaken == "":
		f.Address, f.Params = c.Address, c.Params
		return nil
	}
	if f.maybeSent {
		return f.end(consumers.Unknown, consumers.Unsure,
			fmt.Errorf("overtaken: %s; an earlier attempt may have sent it", c.Overtaken))
	}
	f.instead = c.Otherwise
	if c.Unreachable {
		return f.end(consumers.Failed, consumers.Unreachable, errors.New(c.Overtaken))
	}
	return f.end(consumers.Cancelled, "", fmt.Errorf("overtaken: %s", c.Overtaken))
}

// undecided ends an attempt in which the provider was not called. The next one comes after a pause
// that grows with the time since the plan.
func (f *finish) undecided(l *Ledger, err error) *finish {
	f.uncounted, f.retry, f.lookedUp = true, true, true
	f.delay = min(l.lookUpPause(time.Since(f.plannedAt), 0), maxDoubtPause)
	if f.maybeSent {
		return f.end(consumers.Unknown, consumers.Unsure, err)
	}
	return f.end(consumers.Planned, consumers.Temporary, err)
}

const (
	// maxDoubtPause is the longest pause between two looks at a delivery about which it is not
	// certain whether it is to be sent.
	maxDoubtPause = 30 * time.Second
	// doubt is how long it counts as uncertain whether a delivery without a response was sent. From
	// then on it counts as sent: what is not so any more is better taken back once too often.
	doubt = 10 * time.Minute
)

// checked is what a delivery has become.
type checked struct {
	consumers.Verdict
	wait bool // it depends on another delivery, which is being sent
}

// checkBatch checks deliveries that have been started. What is cleared is recorded before it is
// sent: it may have been, from then on.
func (l *Ledger) checkBatch(ctx context.Context, batch []*started) ([]*checked, error) {
	deliveries, all := make([]*consumers.Delivery, len(batch)), make([]*checked, len(batch))
	for i, s := range batch {
		deliveries[i] = &s.Delivery
	}
	verdicts, err := l.cfg.Check(ctx, deliveries)
	if err != nil {
		return nil, err
	}
	for i := range verdicts {
		all[i] = &checked{Verdict: verdicts[i]}
	}
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if err := sayOnce(ctx, tx, batch, all); err != nil {
			return err
		}
		return storeChecked(ctx, tx, batch, all)
	})
	if err != nil {
		return nil, fmt.Errorf("record which deliveries are still true: %w", err)
	}
	return all, nil
}

// heard is what one recipient is sent about a topic by a channel.
type heard struct{ school, topic, recipient, channel string }

func heardBy(d *consumers.Delivery) heard {
	return heard{d.School, d.Topic, d.Recipient, string(d.Channel)}
}

// said is what a recipient was sent about a topic before.
type said struct {
	told      bool  // they believe it, by the last delivery that counts
	doubtful  bool  // a delivery is being sent, or nobody knows
	retracted int64 // the offset of the last event by which it was to be taken back, or -1
}

// sayOnce decides about deliveries that say something which others may have said or taken back.
func sayOnce(ctx context.Context, tx pgx.Tx, batch []*started, all []*checked) error {
	var about []int // in the order of the log
	var schools, topics, ids []string
	for i, s := range batch {
		if s.Topic != "" && all[i].Overtaken == "" && all[i].Fault == nil {
			about = append(about, i)
			schools, topics, ids = append(schools, s.School), append(topics, s.Topic), append(ids, s.ID)
		}
	}
	if len(about) == 0 {
		return nil
	}
	slices.SortFunc(about, func(a, b int) int {
		return cmp.Compare(batch[a].Position.Offset, batch[b].Position.Offset)
	})
	before, err := saidBefore(ctx, tx, schools, topics, ids)
	if err != nil {
		return err
	}
	for _, i := range about {
		s, c := batch[i], all[i]
		h := heardBy(&s.Delivery)
		now, ok := before[h]
		if !ok {
			now.retracted = -1
		}
		switch {
		case now.doubtful, !s.Retracts && now.retracted > c.FactsAt:
			c.wait = true
		case s.Retracts && !now.told:
			c.Overtaken = "the recipient was not told what it takes back"
		case !s.Retracts && now.told:
			c.Overtaken = "the recipient has been told"
		default:
			now.doubtful = true
		}
		before[h] = now
	}
	return nil
}

// saidBefore reads what was said about topics by others than the deliveries with these ids. Until
// the transaction ends, nobody else decides about the topics.
func saidBefore(
	ctx context.Context, tx pgx.Tx, schools, topics, ids []string,
) (map[heard]said, error) {
	if _, err := tx.Exec(ctx, `
		SELECT pg_advisory_xact_lock(t.key) FROM (
			SELECT DISTINCT hashtextextended(u.topic, hashtext(u.school)) AS key
			FROM unnest($1::text[], $2::text[]) AS u (school, topic) ORDER BY 1 OFFSET 0
		) t`, schools, topics); err != nil {
		return nil, fmt.Errorf("lock topics: %w", err)
	}
	if _, err := tx.Exec(ctx, forceIndexScans); err != nil {
		return nil, err
	}
	rows, _ := tx.Query(ctx, `
		SELECT l.school, l.topic, l.recipient, l.channel, l.retracts, l.log_offset,
			l.cleared AND (l.state IN ('sending', 'unknown', 'sent', 'delivered')
				OR l.state = 'planned' AND l.error_class = 'unknown'),
			l.state IN ('sending', 'planned')
				OR l.state = 'unknown' AND l.requested_at > now() - $4::interval
		FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS u (school, topic)) u
		JOIN schoolbell.ledger l ON l.school = u.school AND l.topic = u.topic
		WHERE l.id <> ALL ($3)
		ORDER BY l.started_at NULLS FIRST, l.log_offset, l.id`, schools, topics, ids, doubt)
	before := map[heard]said{}
	var h heard
	var retracts, counts, doubtful bool
	var offset int64
	if _, err := pgx.ForEachRow(rows, []any{
		&h.school, &h.topic, &h.recipient, &h.channel, &retracts, &offset, &counts, &doubtful,
	}, func() error {
		now, ok := before[h]
		if !ok {
			now.retracted = -1
		}
		if retracts {
			now.retracted = max(now.retracted, offset)
		}
		if counts {
			now.told, now.doubtful = !retracts, now.doubtful || doubtful
		}
		before[h] = now
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read what was said before: %w", err)
	}
	return before, nil
}

// storeChecked records the deliveries that may be sent from now on, and what has changed in them.
func storeChecked(ctx context.Context, tx pgx.Tx, batch []*started, all []*checked) error {
	var ids []string
	var fences []int64
	var addresses, params []*string
	for i, s := range batch {
		c := all[i]
		if c.Overtaken != "" || c.Fault != nil || c.wait {
			continue
		}
		moved, changed := c.Address != s.Address, string(c.Params) != string(s.Params)
		if s.Topic == "" && !moved && !changed {
			continue
		}
		ids, fences = append(ids, s.ID), append(fences, s.fence)
		addresses = append(addresses, ifTrue(moved, c.Address))
		params = append(params, ifTrue(changed, string(c.Params)))
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		UPDATE schoolbell.ledger l SET cleared = true, sent_to = coalesce(u.address, l.sent_to),
			sent_params = coalesce(u.params::jsonb, l.sent_params)
		FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[])
			AS u (id, fence, address, params)
		WHERE l.id = u.id AND l.fence = u.fence`, ids, fences, addresses, params)
	return err
}

// ifTrue returns the text, or nil for NULL.
func ifTrue(condition bool, text string) *string {
	if !condition {
		return nil
	}
	return &text
}
