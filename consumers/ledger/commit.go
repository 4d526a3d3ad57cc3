package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
)

// Commit implements [consumers.Ledger]. Deliveries get their jobs when the log lists them, in the
// transaction that notes it; until then the rows wait to be listed, whatever crashes. The order of the
// steps matters: what was planned before, by this ledger or a lost one, is left out before anything is
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
