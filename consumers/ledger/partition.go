package ledger

import (
	"context"
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
