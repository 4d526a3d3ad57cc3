package ledger

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/delivery"
	"github.com/schoolbell/schoolbell/domain/document"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Source is the CloudEvents source of events about deliveries, which Schoolbell itself publishes.
const Source = "schoolbell/deliveries"

// outcome is an event on its way into the log: what became of a delivery, a reminder, or what a
// recipient wishes. It is the JSON in the outbox.
type outcome struct {
	State       consumers.State    `json:"state,omitzero"`
	ID          string             `json:"id"`
	Time        time.Time          `json:"time"`
	Causation   string             `json:"causation,omitzero"`
	Correlation string             `json:"correlation"`
	Delivery    *delivery.Outcome  `json:"delivery,omitzero"`
	Document    *document.Rendered `json:"document,omitzero"`
	Reminder    *fee.ReminderDue   `json:"reminder,omitzero"`
	OptOut      *guardian.OptedOut `json:"opt_out,omitzero"`
	OptIn       *guardian.OptedIn  `json:"opt_in,omitzero"`
}

// outcome returns the event of an attempt, or nil for none.
func (f *finish) outcome(text string) ([]byte, error) {
	state := f.state
	if state == consumers.Dead {
		state = consumers.Failed
	}
	return newOutcome(&f.Delivery, state, f.fence, f.provider, f.receipt, text)
}

// newOutcome encodes the event of a state, or returns nil for a state without one. Its id follows
// from the delivery, the state and the start, so one that is appended twice counts once.
func newOutcome(
	d *consumers.Delivery, state consumers.State, fence int64, provider string,
	r consumers.Receipt, text string,
) ([]byte, error) {
	o := outcome{
		State: state, ID: fmt.Sprintf("%s-%s-%d", d.ID, state, fence),
		Time:      time.Now().UTC().Truncate(time.Microsecond),
		Causation: d.EventID, Correlation: d.CorrelationID,
	}
	switch {
	case state == consumers.Rendered && r.Document != nil:
		o.Document = &document.Rendered{
			DocumentID: d.ID, Kind: r.Document.Kind, StudentID: r.Document.StudentID,
			SHA256: r.Document.SHA256, Bytes: r.Document.Bytes,
		}
	case state == consumers.Sent, state == consumers.Delivered, state == consumers.Failed,
		state == consumers.Cancelled:
		o.Delivery = &delivery.Outcome{
			DeliveryID: d.ID, Channel: string(d.Channel), Recipient: d.Recipient,
			Provider: provider, ProviderID: r.ProviderID, Cost: r.Cost, Error: text,
		}
		if text == "" && state == consumers.Failed {
			o.Delivery.Error = "the provider gave no reason"
		}
	default:
		return nil, nil
	}
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode outcome of delivery %s: %w", d.ID, err)
	}
	return b, nil
}

// envelope makes the event.
func (o *outcome) envelope(school string) (*domain.Envelope, error) {
	e := &domain.Envelope{
		ID: o.ID, Source: Source, School: school, Time: o.Time, CausationID: o.Causation,
		CorrelationID: o.Correlation, Actor: "schoolbell",
		Author: domain.Author{Subject: domain.AuthorSchoolbell},
	}
	switch {
	case o.Reminder != nil:
		e.Source, e.Type, e.Data = ReminderSource, fee.TypeReminderDue, o.Reminder
	case o.OptOut != nil:
		e.Type, e.Data = guardian.TypeOptedOut, o.OptOut
	case o.OptIn != nil:
		e.Type, e.Data = guardian.TypeOptedIn, o.OptIn
	case o.Document != nil:
		e.Type, e.Data = document.TypeRendered, o.Document
	case o.Delivery == nil:
		return nil, fmt.Errorf("outcome %s has no data", o.ID)
	case o.State == consumers.Sent:
		e.Type, e.Data = delivery.TypeSent, (*delivery.Sent)(o.Delivery)
	case o.State == consumers.Delivered:
		e.Type, e.Data = delivery.TypeDelivered, (*delivery.Delivered)(o.Delivery)
	case o.State == consumers.Cancelled:
		e.Type, e.Data = delivery.TypeCancelled, (*delivery.Cancelled)(o.Delivery)
	default:
		e.Type, e.Data = delivery.TypeFailed, (*delivery.Failed)(o.Delivery)
	}
	e.Subject = e.Data.Subject()
	return e, nil
}

// insertOutcome puts an event into the outbox.
func insertOutcome(ctx context.Context, tx pgx.Tx, school string, event []byte) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO schoolbell.ledger_outbox (school, event) VALUES ($1, $2)`, school, event)
	if err != nil {
		return fmt.Errorf("put an outcome into the outbox: %w", err)
	}
	return nil
}

// relayNow wakes the relay of this process.
func (l *Ledger) relayNow() { wakeUp(l.outbox) }

// wakeUp puts a token into a channel that has room for one.
func wakeUp(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

const (
	relayEvery     = 250 * time.Millisecond
	relayBatchSize = 2000
	relayLockID    = 0x5363686f6f6c4f75 // "SchoolOu"
	relayAppends   = 16
)

// relay moves outcomes from the outbox into the log until ctx ends. One process does it at a time;
// when that ends, another one takes over. An outcome that was appended and not removed is appended
// again under the same id, which readers drop.
func (l *Ledger) relay(ctx context.Context) {
	l.repeat(ctx, l.outbox, "cannot append outcomes to the log, will retry", l.relayAll)
}

// repeat does something when it is woken, and regularly, until ctx ends.
func (l *Ledger) repeat(
	ctx context.Context, wake <-chan struct{}, complaint string, do func(context.Context) error,
) {
	tick := time.NewTicker(relayEvery)
	defer tick.Stop()
	for {
		wake := wake
		if err := do(ctx); err != nil && ctx.Err() == nil {
			l.cfg.Logger.WarnContext(ctx, complaint, "error", err)
			wake = nil // the next try waits for the ticker
		}
		select {
		case <-tick.C:
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

// relayAll empties the outbox, unless another process is doing so.
func (l *Ledger) relayAll(ctx context.Context) error {
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	for {
		n, err := l.relayBatch(ctx, conn)
		if err != nil || n < relayBatchSize {
			return err
		}
	}
}

// relayBatch appends to the log and then deletes, in one transaction, so that nothing is lost.
func (l *Ledger) relayBatch(ctx context.Context, conn *pgxpool.Conn) (n int, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// The lock ends with the transaction, so a relay that dies leaves none behind.
		var mine bool
		err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(relayLockID)).
			Scan(&mine)
		if err != nil || !mine {
			return err
		}
		open, err := l.openPartitions(ctx, tx)
		partitions := l.partitions.Load() // none before this process has seen the log
		if err != nil || len(open) == 0 || partitions == 0 {
			return err
		}
		rows, _ := tx.Query(ctx, `
			SELECT seq, school, event FROM schoolbell.ledger_outbox ORDER BY seq LIMIT $1`,
			relayBatchSize)
		var seqs []int64
		bySchool := map[string][]eventlog.Record{}
		var seq int64
		var school string
		var event []byte
		if _, err := pgx.ForEachRow(rows, []any{&seq, &school, &event}, func() error {
			if !slices.Contains(open, eventlog.PartitionFor(school, partitions)) {
				return nil // it waits until the partition has been compared with the log
			}
			seqs = append(seqs, seq)
			rec, err := l.outcomeRecord(school, event)
			if err != nil {
				// We have written it ourselves: retrying would not repair it, and would block all
				// others.
				l.cfg.Logger.ErrorContext(ctx, "dropped an outcome that cannot be encoded",
					"event", string(event), "error", err)
				return nil
			}
			bySchool[school] = append(bySchool[school], rec)
			return nil
		}); err != nil {
			return fmt.Errorf("read the outbox: %w", err)
		}
		if n = len(seqs); n == 0 {
			return nil
		}
		if err := l.appendAll(ctx, tx, bySchool); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM schoolbell.ledger_outbox WHERE seq = ANY ($1)`, seqs)
		return err
	})
	if err == nil {
		l.metrics.relayed.Add(float64(n))
	}
	return n, err
}

func (l *Ledger) outcomeRecord(school string, event []byte) (rec eventlog.Record, err error) {
	var o outcome
	if err := json.Unmarshal(event, &o); err != nil {
		return rec, err
	}
	e, err := o.envelope(school)
	if err != nil {
		return rec, err
	}
	return l.cfg.Encode(e)
}

// appendAll appends what follows from the ledger, and stores up to where the log says nothing that
// the ledger does not have.
func (l *Ledger) appendAll(
	ctx context.Context, tx pgx.Tx, bySchool map[string][]eventlog.Record,
) error {
	var mu sync.Mutex
	seen := map[int32]int64{}
	g, appending := errgroup.WithContext(ctx)
	g.SetLimit(relayAppends)
	for school, records := range bySchool {
		g.Go(func() error {
			first, err := l.cfg.Log.Append(appending, school, records)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			seen[first.Partition] = max(seen[first.Partition], first.Offset+int64(len(records)))
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return storeSeen(ctx, tx, seen)
}

// Unsettled counts the deliveries that are being sent and the outcomes that are not in the log yet. It
// scans the ledger: it is for benches and tests, which wait for 0.
func (l *Ledger) Unsettled(ctx context.Context) (n int, err error) {
	err = l.pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM schoolbell.ledger_outbox) +
		(SELECT count(*) FROM schoolbell.ledger_plans) +
		(SELECT count(*) FROM schoolbell.ledger WHERE state = 'sending')`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count unsettled deliveries: %w", err)
	}
	return n, nil
}
