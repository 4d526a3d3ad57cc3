package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Positions keeps how far groups of consumers have come, beside the ledger. Whoever claims a partition fences those who
// had it before. It implements the interface of package router.
type Positions struct {
	pool   *pgxpool.Pool
	fenced error
}

// NewPositions returns the positions in a database. A save that comes too late gets the error fenced.
func NewPositions(pool *pgxpool.Pool, fenced error) *Positions { return &Positions{pool, fenced} }

// Claim takes a partition over and returns the offset to go on at.
func (p *Positions) Claim(ctx context.Context, group string, topic eventlog.Topic, partition int32) (next, epoch int64, err error) {
	err = p.pool.QueryRow(ctx, `
		INSERT INTO schoolbell.checkpoints AS c (set_name, partition, epoch, position, topic_id) VALUES ($1, $2, 1, 0, $3)
		ON CONFLICT (set_name, partition) DO UPDATE SET epoch = c.epoch + 1, updated_at = now() WHERE c.topic_id = excluded.topic_id
		RETURNING position, epoch`, group, partition, topic.ID).Scan(&next, &epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, 0, fmt.Errorf("partition %d was planned from another topic than the one with id %s: it was deleted and created again, or this is another cluster",
			partition, topic.ID)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("claim partition %d for %s: %w", partition, group, err)
	}
	return next, epoch, nil
}

// plannedSet is the name under which it is kept up to where a group has ever come. It never goes back.
func plannedSet(group string) string { return group + ".planned" }

// Save notes how far a partition has been handled.
func (p *Positions) Save(ctx context.Context, group string, topic eventlog.Topic, partition int32, epoch, next int64) error {
	tag, err := p.pool.Exec(ctx, `
		WITH mine AS (
			UPDATE schoolbell.checkpoints SET position = $4, updated_at = clock_timestamp()
			WHERE set_name = $1 AND partition = $2 AND epoch = $3 RETURNING position
		)
		INSERT INTO schoolbell.checkpoints AS c (set_name, partition, epoch, position, topic_id) SELECT $5, $2, $3, position, $6 FROM mine
		ON CONFLICT (set_name, partition) DO UPDATE SET position = greatest(c.position, excluded.position), epoch = excluded.epoch,
			updated_at = clock_timestamp()`, group, partition, epoch, next, plannedSet(group), topic.ID)
	if err != nil {
		return fmt.Errorf("save position of partition %d for %s: %w", partition, group, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("partition %d of %s: %w", partition, group, p.fenced)
	}
	return nil
}

// Reset has a group read the log once more: one partition from a position on, or all of them from their beginning if it is
// nil. It never skips anything. What was planned stays planned, once. From an event that nothing followed from, nothing
// follows now either, unless it is to be planned again: then what is missing from the ledger is planned. The answer is how
// many partitions go back.
func (p *Positions) Reset(ctx context.Context, group string, to *domain.Position, again bool) (int, error) {
	if to == nil {
		to = &domain.Position{Partition: -1}
	}
	names := []string{group}
	if again {
		names = append(names, plannedSet(group))
	}
	tag, err := p.pool.Exec(ctx, `
		WITH marks AS (
			UPDATE schoolbell.checkpoints SET position = least(position, $3), updated_at = now()
			WHERE set_name = ANY ($4) AND set_name <> $1 AND $2 IN (partition, -1)
		)
		UPDATE schoolbell.checkpoints SET position = $3, epoch = epoch + 1, updated_at = now()
		WHERE set_name = $1 AND $2 IN (partition, -1) AND position > $3`, group, to.Partition, to.Offset, names)
	if err != nil {
		return 0, fmt.Errorf("reset %s: %w", group, err)
	}
	return int(tag.RowsAffected()), nil
}
