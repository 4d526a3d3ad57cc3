package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Groups holds the positions of consumer groups whose results are idempotent, so that a position may
// be saved after them. It also holds the furthest position that each group has ever reached, which a
// reset leaves as it is: what was planned once is not planned again when the log is read again.
type Groups struct {
	pool   *pgxpool.Pool
	fenced error
	log    eventlog.Source
}

// ErrReset is the error of a save after an operator has set the position back. Nobody else has claimed
// the partition, so its worker may do so again at once.
var ErrReset = errors.New("an operator has set the position back")

// NewGroups returns the positions in a database. A save under an old claim fails with fenced. Each
// claim compares the log with what was read of it; without a log, as for the positions in inboxes,
// nothing is compared.
func NewGroups(pool *pgxpool.Pool, fenced error, log eventlog.Source) *Groups {
	return &Groups{pool, fenced, log}
}

// Claim takes a partition over and returns the offset of the next record and the claim's epoch. It
// fails with an [*eventlog.Refusal] when the log is not the one that was read.
func (g *Groups) Claim(
	ctx context.Context, group string, topic eventlog.Topic, partition int32,
) (next, epoch int64, err error) {
	claim, err := Take(ctx, g.pool, group, partition, topic.ID)
	if err != nil {
		return 0, 0, fmt.Errorf("claim partition %d for %s: %w", partition, group, err)
	}
	if g.log != nil {
		at := Checkpoint{Partition: partition, Next: claim.Next, Last: claim.Last}
		if err := compare(ctx, g.pool, g.log, topic, group, &at); err != nil {
			return 0, 0, err
		}
	}
	return claim.Next, claim.Epoch, nil
}

// furthestOf is the consumer under which the furthest position of a group is stored.
func furthestOf(group string) string { return group + ".planned" }

// Furthest returns the furthest position (of the next record) that a group has ever reached, for each
// partition. It never goes back.
func Furthest(ctx context.Context, q Querier, group string) (map[int32]int64, error) {
	return Next(ctx, q, furthestOf(group))
}

// Save moves a group's position and the last record that was read before it, in one statement with
// the furthest position.
func (g *Groups) Save(
	ctx context.Context, group string, topic eventlog.Topic, partition int32, epoch, next int64,
	last eventlog.Mark,
) error {
	tag, err := g.pool.Exec(ctx, `
		WITH mine AS (
			UPDATE checkpoints c SET position = $4, updated_at = clock_timestamp(),
				read_offset = CASE WHEN $8::bytea = '' THEN read_offset ELSE $7 END,
				read_digest = CASE WHEN $8 = '' THEN read_digest ELSE $8 END
			WHERE set_name = $1 AND partition = $2 AND epoch = $3
				AND NOT EXISTS (SELECT FROM log_refusals r
					WHERE r.topic_id = c.topic_id AND r.partition = c.partition)
			RETURNING position
		)
		INSERT INTO checkpoints AS c (set_name, partition, epoch, position, topic_id)
		SELECT $5, $2, $3, position, $6 FROM mine
		ON CONFLICT (set_name, partition) DO UPDATE
			SET position = greatest(c.position, excluded.position), epoch = excluded.epoch,
				updated_at = clock_timestamp()`,
		group, partition, epoch, next, furthestOf(group), topic.ID, last.Offset,
		DigestBytes(last.Digest))
	if err != nil {
		return fmt.Errorf("save position of partition %d for %s: %w", partition, group, err)
	}
	if tag.RowsAffected() > 0 {
		return nil
	}
	if err := refused(ctx, g.pool, topic.ID, partition); err != nil {
		return err
	}
	cause, reset := g.fenced, false
	err = g.pool.QueryRow(ctx, `SELECT exchanged AND claimed = $3 FROM checkpoints
		WHERE set_name = $1 AND partition = $2`, group, partition, epoch).Scan(&reset)
	if err == nil && reset {
		cause = ErrReset
	}
	return fmt.Errorf("partition %d of %s: %w", partition, group, cause)
}

// Reset makes a group read the log again: one partition from a position, or all of them from the
// beginning if it is nil. It never skips anything, and fences whoever works on the partitions. With
// again the furthest positions go back as well, so that what is missing of earlier results is made
// up. It returns how many partitions go back.
func (g *Groups) Reset(
	ctx context.Context, group string, to *domain.Position, again bool,
) (int, error) {
	if to == nil {
		to = &domain.Position{Partition: -1}
	}
	names := []string{group}
	if again {
		names = append(names, furthestOf(group))
	}
	tag, err := g.pool.Exec(ctx, `
		WITH furthest AS (
			UPDATE checkpoints SET position = least(position, $3), updated_at = now()
			WHERE set_name = ANY ($4) AND set_name <> $1 AND $2 IN (partition, -1)
		)
		UPDATE checkpoints SET position = $3, epoch = epoch + 1, exchanged = true,
			claimed = CASE WHEN exchanged THEN claimed ELSE epoch END, updated_at = now()
		WHERE set_name = $1 AND $2 IN (partition, -1) AND position > $3`,
		group, to.Partition, to.Offset, names)
	if err != nil {
		return 0, fmt.Errorf("reset %s: %w", group, err)
	}
	return int(tag.RowsAffected()), nil
}
