package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Querier runs statements: a transaction, a connection or a pool.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Claim is the right to move one partition of a consumer, until the next claim.
type Claim struct {
	Epoch int64 // grows with every claim
	Next  int64 // the offset of the next record
	// Tables is the epoch of the latest exchange of tables, or of the latest [ReviseSQL], 0 without
	// any. What was read from the tables of an earlier one may be out of date, even at the same
	// position.
	Tables int64
	// Last is the last record that was read, to be compared with the log (see [eventlog.Compare]).
	Last eventlog.Mark
}

// TopicError is the error of a claim for another topic than the one that was read before.
type TopicError struct {
	Partition int32
	Stored    string // the id of the topic that the position belongs to
	Current   string // the id of the topic now
}

func (e *TopicError) Error() string {
	return fmt.Sprintf("partition %d was read from the topic with id %s, and the topic now has "+
		"id %s: it was deleted and created again, or this is another cluster",
		e.Partition, e.Stored, e.Current)
}

// Take claims a partition for a consumer. The first claim stores the topic's id; a later one under
// another id changes nothing and fails with a [*TopicError], and one of a refused partition with an
// [*eventlog.Refusal].
func Take(
	ctx context.Context, q Querier, consumer string, partition int32, topicID string,
) (c Claim, err error) {
	err = q.QueryRow(ctx, `
		INSERT INTO checkpoints AS c (set_name, partition, epoch, position, topic_id)
		VALUES ($1, $2, 1, 0, $3)
		ON CONFLICT (set_name, partition) DO UPDATE
			SET epoch = c.epoch + 1, exchanged = false, updated_at = now()
			WHERE c.topic_id = excluded.topic_id AND NOT EXISTS (SELECT FROM log_refusals r
				WHERE r.topic_id = c.topic_id AND r.partition = c.partition)
		RETURNING epoch, position, tables, read_offset, read_digest`, consumer, partition, topicID).Scan(
		&c.Epoch, &c.Next, &c.Tables, &c.Last.Offset, (*digest)(&c.Last.Digest))
	if !errors.Is(err, pgx.ErrNoRows) {
		return c, err
	}
	if err := refused(ctx, q, topicID, partition); err != nil {
		return c, err
	}
	wrong := &TopicError{Partition: partition, Current: topicID}
	err = q.QueryRow(ctx, `SELECT topic_id FROM checkpoints WHERE set_name = $1 AND partition = $2`,
		consumer, partition).Scan(&wrong.Stored)
	if err != nil {
		return c, err
	}
	return c, wrong
}

// AdvanceSQL moves a position under the fence: its parameters are the consumer, the partition, the
// epoch of the claim, the offset before and after, and the offset and digest of the last record that
// was read, an empty one if there was none. It is a statement rather than a function because the
// engine sends it in one round trip with the rows of the commit. When the claim is no longer the
// latest, or the partition is refused, it fails with one of the codes below, and with it the
// transaction.
const AdvanceSQL = `SELECT schoolbell.advance($1, $2, $3, $4, $5, $6, $7)`

// ReviseSQL follows [AdvanceSQL] when the tables change by more than the events between the two
// positions: its parameters are the consumer and the partition. The worker's claim goes on under the
// next epoch, which tells what was read before from what is read after. Like a claim it has to be on
// the disk, since after a crash of the server no epoch may be given out a second time.
const ReviseSQL = `WITH durable AS (SELECT set_config('synchronous_commit', 'on', true))
	UPDATE checkpoints SET epoch = epoch + 1, tables = epoch + 1 FROM durable
	WHERE set_name = $1 AND partition = $2`

// The SQLSTATEs that [AdvanceSQL] fails with.
const (
	FencedCode    = "SB001" // another process has claimed the partition
	ExchangedCode = "SB002" // only a rebuild has, so the worker may claim it again at once
	RefusedCode   = "SB003" // the log is not the one that was read; see [eventlog.Refusal]
)

// The two sides of an exchange of tables. A reader takes its lock before its snapshot, so that the
// exchange waits for its end: else it could find tables that are not of its snapshot.
const (
	LockForReading  = `LOCK TABLE checkpoints IN ACCESS SHARE MODE`
	LockForExchange = `LOCK TABLE checkpoints IN ACCESS EXCLUSIVE MODE`
)

// Checkpoint is how far a consumer has come in one partition.
type Checkpoint struct {
	Partition int32
	Epoch     int64
	Next      int64 // the offset of the next record
	TopicID   string
	Last      eventlog.Mark // the last record that was read
}

// checkpointColumns are those of a [Checkpoint].
const checkpointColumns = `partition, epoch, position, topic_id, read_offset, read_digest`

func scanCheckpoint(row pgx.CollectableRow) (c Checkpoint, err error) {
	err = row.Scan(&c.Partition, &c.Epoch, &c.Next, &c.TopicID, &c.Last.Offset,
		(*digest)(&c.Last.Digest))
	return c, err
}

// digest scans a digest, which is empty where none is stored.
type digest eventlog.RecordDigest

// ScanBytes implements [pgtype.BytesScanner].
func (d *digest) ScanBytes(b []byte) error {
	*d = digest{}
	copy(d[:], b)
	return nil
}

// DigestBytes is a digest as it is stored.
func DigestBytes(d eventlog.RecordDigest) []byte {
	if d == (eventlog.RecordDigest{}) {
		return []byte{}
	}
	return d[:]
}

// Fence claims partitions for nobody: their workers are fenced, and wait in their commits until the
// transaction ends. What was read before is out of date from then on, which the epoch tells. A
// negative partition means all.
func Fence(ctx context.Context, tx pgx.Tx, consumer string, partition int32) ([]Checkpoint, error) {
	rows, err := tx.Query(ctx, `
		UPDATE checkpoints
		SET epoch = epoch + 1, tables = epoch + 1, base = position, exchanged = true,
			claimed = CASE WHEN exchanged THEN claimed ELSE epoch END, updated_at = now()
		WHERE set_name = $1 AND ($2 < 0 OR partition = $2)
		RETURNING `+checkpointColumns, consumer, partition)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanCheckpoint)
}

// Read returns how far a consumer has come in each partition that it has ever claimed.
func Read(ctx context.Context, q Querier, consumer string) ([]Checkpoint, error) {
	// An error of Query is returned by CollectRows as well.
	rows, _ := q.Query(ctx, `SELECT `+checkpointColumns+` FROM checkpoints
		WHERE set_name = $1`, consumer)
	all, err := pgx.CollectRows(rows, scanCheckpoint)
	if err != nil {
		return nil, fmt.Errorf("read positions of %s: %w", consumer, err)
	}
	return all, nil
}

// Next returns the offset of a consumer's next record in each partition that it has ever claimed.
func Next(ctx context.Context, q Querier, consumer string) (map[int32]int64, error) {
	all, err := Read(ctx, q, consumer)
	next := make(map[int32]int64, len(all))
	for _, c := range all {
		next[c.Partition] = c.Next
	}
	return next, err
}

// Position returns the position of the last record of a partition that a consumer has handled, as q
// sees it; its offset is -1 when there is none.
func Position(
	ctx context.Context, q Querier, consumer string, partition int32,
) (domain.Position, error) {
	at, _, err := PositionOfTables(ctx, q, consumer, partition)
	return at, err
}

// PositionOfTables returns the position as [Position] does, and which tables q sees: see
// [Claim.Tables].
func PositionOfTables(
	ctx context.Context, q Querier, consumer string, partition int32,
) (at domain.Position, tables int64, err error) {
	at = domain.Position{Partition: partition, Offset: -1}
	err = q.QueryRow(ctx,
		`SELECT position - 1, tables FROM checkpoints WHERE set_name = $1 AND partition = $2`,
		consumer, partition).Scan(&at.Offset, &tables)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return at, 0, fmt.Errorf("read position of partition %d: %w", partition, err)
	}
	return at, tables, nil
}

// Unattended returns the partitions of a consumer, of so many, that no process has worked on for a
// while: their worker would have written to the checkpoint by then. A consumer that has never claimed
// any has none.
func Unattended(
	ctx context.Context, q Querier, consumer string, partitions int32, after time.Duration,
) ([]int32, error) {
	rows, _ := q.Query(ctx, `
		SELECT p FROM generate_series(0, $2::int - 1) p
		WHERE EXISTS (SELECT FROM checkpoints WHERE set_name = $1)
			AND NOT EXISTS (SELECT FROM checkpoints WHERE set_name = $1 AND partition = p
				AND updated_at > clock_timestamp() - make_interval(secs => $3))
		ORDER BY p`, consumer, partitions, after.Seconds())
	all, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return nil, fmt.Errorf("look for the workers of %s: %w", consumer, err)
	}
	return all, nil
}
