package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ForgetPositions removes what is stored by the offsets of partitions that now mean other records:
// dead letters, which would plan another event when they are retried, how far facts reached, and how
// far the ledger was compared with the log.
// Deliveries stay: they are found by their event and not by its position.
func ForgetPositions(ctx context.Context, tx pgx.Tx, partitions []int32) error {
	for _, table := range []string{"dead_letters", "ledger_known", "ledger_partitions"} {
		if _, err := tx.Exec(ctx, `DELETE FROM schoolbell.`+table+` WHERE partition = ANY ($1)`,
			partitions); err != nil {
			return fmt.Errorf("forget positions: %w", err)
		}
	}
	return nil
}
