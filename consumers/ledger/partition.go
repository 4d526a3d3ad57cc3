package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
)

// Partition returns all that the ledger holds about a partition, to be verified.
func (l *Ledger) Partition(ctx context.Context, partition int32) (*consumers.LedgerPartition, error) {
	k := &consumers.LedgerPartition{FactsAt: map[int64]int64{}, Deliveries: map[string]consumers.Delivery{}, DeadLetters: map[int64]bool{}}
	err := pgx.BeginTxFunc(ctx, l.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		planned, err := checkpoint.Furthest(ctx, tx, l.cfg.Group)
		if err != nil {
			return err
		}
		k.PlannedTo = planned[partition]
		rows, _ := tx.Query(ctx, `SELECT `+deliveryColumns+` FROM schoolbell.ledger l WHERE l.partition = $1`, partition)
		defer rows.Close()
		for rows.Next() {
			var d consumers.Delivery
			row := deliveryRow{Delivery: &d}
			if err := rows.Scan(row.targets()...); err != nil {
				return err
			}
			if err := row.finish(); err != nil {
				return err
			}
			k.Deliveries[d.ID] = d
		}
		if err := rows.Err(); err != nil {
			return err
		}
		var offset, known int64
		rows, _ = tx.Query(ctx, `SELECT log_offset, known_at FROM schoolbell.ledger_known WHERE partition = $1`, partition)
		if _, err := pgx.ForEachRow(rows, []any{&offset, &known}, func() error { k.FactsAt[offset] = known; return nil }); err != nil {
			return err
		}
		rows, _ = tx.Query(ctx, `SELECT log_offset FROM schoolbell.ledger_aside WHERE partition = $1`, partition)
		_, err = pgx.ForEachRow(rows, []any{&offset}, func() error { k.DeadLetters[offset] = true; return nil })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger of partition %d: %w", partition, err)
	}
	return k, nil
}
