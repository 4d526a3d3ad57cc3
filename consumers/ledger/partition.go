package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
)

// Partition returns all that the ledger has stored about a partition, for package verify. It is as
// large as the partition's deliveries.
func (l *Ledger) Partition(
	ctx context.Context, partition int32,
) (p *consumers.LedgerPartition, err error) {
	err = pgx.BeginTxFunc(ctx, l.pool, pgx.TxOptions{
		IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly,
	}, func(tx pgx.Tx) error {
		p, err = l.readPartition(ctx, tx, partition)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger of partition %d: %w", partition, err)
	}
	return p, nil
}

func (l *Ledger) readPartition(
	ctx context.Context, tx pgx.Tx, partition int32,
) (*consumers.LedgerPartition, error) {
	p := &consumers.LedgerPartition{
		FactsAt: map[int64]int64{}, Deliveries: map[string]consumers.Delivery{},
		DeadLetters: map[int64]bool{},
	}
	planned, err := checkpoint.Furthest(ctx, tx, l.cfg.Group)
	if err != nil {
		return nil, err
	}
	p.PlannedTo = planned[partition]
	var offset, factsAt int64
	rows, _ := tx.Query(ctx,
		`SELECT log_offset, known_at FROM schoolbell.ledger_known WHERE partition = $1`, partition)
	if _, err := pgx.ForEachRow(rows, []any{&offset, &factsAt}, func() error {
		p.FactsAt[offset] = factsAt
		return nil
	}); err != nil {
		return nil, err
	}
	rows, _ = tx.Query(ctx,
		`SELECT log_offset FROM schoolbell.dead_letters WHERE partition = $1`, partition)
	if _, err := pgx.ForEachRow(rows, []any{&offset}, func() error {
		p.DeadLetters[offset] = true
		return nil
	}); err != nil {
		return nil, err
	}
	if err := readAnnounced(ctx, tx, partition, p); err != nil {
		return nil, err
	}
	rows, _ = tx.Query(ctx,
		`SELECT `+planColumns+` FROM schoolbell.ledger l WHERE l.partition = $1`, partition)
	defer rows.Close()
	for rows.Next() {
		var d consumers.Delivery
		row := deliveryRow{Delivery: &d}
		if err := rows.Scan(row.targets()...); err != nil {
			return nil, err
		}
		if err := row.finish(); err != nil {
			return nil, err
		}
		p.Deliveries[d.ID] = d
	}
	return p, rows.Err()
}

// readAnnounced reads how the deliveries of a partition stand, and which of them the log lists.
func readAnnounced(
	ctx context.Context, tx pgx.Tx, partition int32, p *consumers.LedgerPartition,
) error {
	p.States, p.Pending, p.Past = map[string]consumers.State{}, map[string]bool{}, map[string]bool{}
	err := tx.QueryRow(ctx, `SELECT seen, past FROM schoolbell.ledger_partitions WHERE partition = $1`,
		partition).Scan(&p.Seen, &p.PastTo)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	var id string
	var state consumers.State
	rows, _ := tx.Query(ctx,
		`SELECT id, state FROM schoolbell.ledger WHERE partition = $1`, partition)
	if _, err := pgx.ForEachRow(rows, []any{&id, &state}, func() error {
		p.States[id] = state
		return nil
	}); err != nil {
		return err
	}
	for into, sql := range map[*map[string]bool]string{
		&p.Pending: `SELECT unnest(ids) FROM schoolbell.ledger_plans WHERE partition = $1`,
		&p.Past:    `SELECT id FROM schoolbell.ledger_past WHERE partition = $1`,
	} {
		rows, _ := tx.Query(ctx, sql, partition)
		if _, err := pgx.ForEachRow(rows, []any{&id}, func() error {
			(*into)[id] = true
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
