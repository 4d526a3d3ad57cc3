package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
)

// Querier is what a connection and a transaction have in common.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Position returns the position of the last event of a partition that is in the tables of a set, as q sees them;
// offset -1 when there is none.
func Position(ctx context.Context, q Querier, set string, partition int32) (domain.Position, error) {
	at := domain.Position{Partition: partition, Offset: -1}
	err := q.QueryRow(ctx, `SELECT position - 1 FROM schoolbell.checkpoints WHERE set_name = $1 AND partition = $2`,
		set, partition).Scan(&at.Offset)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return at, fmt.Errorf("read position of partition %d: %w", partition, err)
	}
	return at, nil
}
