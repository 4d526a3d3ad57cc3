package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/projections"
)

// The index of the log is written with the tables, under the same fence, and so reaches exactly to
// where they stand. One that earlier versions have left out is made by a rebuild; until then readers
// find that there is none, by its version among those of the folds.

// writeBlocks appends to the rows of blocks: zeros for the offsets in between, and then the new bits.
var writeBlocks = statement{"schoolbell_write_log_blocks", `
	INSERT INTO log_blocks AS b (school, block, first_offset, events)
	SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[], $4::varbit[])
	ON CONFLICT (school, block) DO UPDATE SET
		events = substring(b.events || B'0'::bit(4096)
			FOR (excluded.first_offset - b.first_offset)::int) || excluded.events`}

const varbitOID = 1562

// addBlocks adds to a commit where its events are.
func (p *pipeline) addBlocks(blocks []eventlog.Block) error {
	if len(blocks) == 0 {
		return nil
	}
	if err := writeBlocks.prepare(p.ctx, p.conn.Conn().PgConn()); err != nil {
		return err
	}
	array := func(oid uint32, value func(dst []byte, b *eventlog.Block) []byte) []byte {
		dst, _ := appendArrayHeader(nil, oid, len(blocks))
		for i := range blocks {
			start := len(dst)
			dst = value(append(dst, 0, 0, 0, 0), &blocks[i])
			binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
		}
		return dst
	}
	number := func(of func(*eventlog.Block) int64) []byte {
		return array(sqlTypes[projections.KindInt].oid, func(dst []byte, b *eventlog.Block) []byte {
			return binary.BigEndian.AppendUint64(dst, uint64(of(b)))
		})
	}
	p.batch.ExecPrepared(writeBlocks.name, [][]byte{
		array(sqlTypes[projections.KindText].oid, func(dst []byte, b *eventlog.Block) []byte {
			return append(dst, b.School...)
		}),
		number((*eventlog.Block).Number),
		number(func(b *eventlog.Block) int64 { return b.First }),
		array(varbitOID, func(dst []byte, b *eventlog.Block) []byte {
			return append(binary.BigEndian.AppendUint32(dst, uint32(b.Len)), b.Bits...)
		}),
	}, binaryFormat, binaryFormat)
	return nil
}

// ErrNoSuchSchool says that the log has no event of a school, as far as the tables go.
var ErrNoSuchSchool = errors.New("there is no such school: the log, as far as it was read, has no " +
	"event of it")

// CheckSchool fails with [ErrNoSuchSchool] when there is nothing of a school. While there is no index
// of the log nobody can tell, and it does not fail.
func (s *ProjectionStore) CheckSchool(ctx context.Context, school string) error {
	return pgx.BeginFunc(ctx, s.pool.Conns(), func(tx pgx.Tx) error {
		return checkSchool(ctx, tx, s.name, school)
	})
}

func checkSchool(ctx context.Context, tx pgx.Tx, set, school string) error {
	var exists bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM log_blocks WHERE school = $1)
		OR NOT EXISTS (SELECT FROM fold_versions WHERE set_name = $2 AND projection = $3
			AND version = $4)`, school, set, projections.LogIndex,
		projections.LogIndexVersion).Scan(&exists); err != nil {
		return fmt.Errorf("look for the school: %w", err)
	}
	if !exists {
		return fmt.Errorf("school %q: %w", school, ErrNoSuchSchool)
	}
	return nil
}

// LogIndex finds the events of a school in the log. It implements [eventlog.Index].
type LogIndex struct {
	pool *Pool
	set  string
}

// NewLogIndex returns the index that is made with the tables of a set. The pool has the role [API]
// or [Projector].
func NewLogIndex(pool *Pool, set string) *LogIndex { return &LogIndex{pool, set} }

// blocksPerLook is how many rows one look into the index reads at most.
const blocksPerLook = 256

// FindBlocks is the statement of Find, for tests that look at its plan.
const FindBlocks = `-- log_blocks.find
	SELECT EXISTS (SELECT FROM fold_versions WHERE set_name = $1 AND projection = $2
		AND version = $3), block, first_offset, events
	FROM (SELECT) AS always LEFT JOIN LATERAL (SELECT block, first_offset, events FROM log_blocks
		WHERE school = $4 AND block >= $5 ORDER BY block LIMIT $6) AS b ON true ORDER BY block`

// Find implements [eventlog.Index].
func (x *LogIndex) Find(
	ctx context.Context, school string, partition int32, from int64, limit int,
) (found eventlog.Found, err error) {
	// Each block has an event, but those of the first may all be too early.
	rows := min(limit+1, blocksPerLook)
	err = x.pool.Read(ctx, school, func(tx pgx.Tx) error {
		at, err := checkpoint.Position(ctx, tx, x.set, partition)
		if err != nil {
			return err
		}
		found.Offsets, found.Through, err = x.find(ctx, tx, school, from, limit, rows)
		if found.Through < 0 {
			found.Through = at.Offset + 1
		}
		return err
	})
	if err != nil {
		return eventlog.Found{}, fmt.Errorf("read the index of the log: %w", err)
	}
	return found, nil
}

// find returns the offsets of a school's events, and the offset before which there are no others; -1
// when there are none up to where the tables stand.
func (x *LogIndex) find(
	ctx context.Context, tx pgx.Tx, school string, from int64, limit, maxRows int,
) (offsets []int64, through int64, err error) {
	rows, err := tx.Query(ctx, FindBlocks, x.set, projections.LogIndex, projections.LogIndexVersion,
		school, from/eventlog.BlockSize, maxRows)
	if err != nil {
		return nil, 0, err
	}
	var made bool
	var number, first *int64
	var events pgtype.Bits
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&made, &number, &first, &events}, func() error {
		if !made || number == nil {
			return nil
		}
		n++
		b := eventlog.Block{First: *first, Bits: events.Bytes, Len: int(events.Len)}
		offsets = b.Offsets(offsets, from)
		through = (*number + 1) * eventlog.BlockSize
		return nil
	})
	switch {
	case err != nil:
		return nil, 0, err
	case !made:
		return nil, 0, nil
	case len(offsets) > limit:
		return offsets[:limit], offsets[limit-1] + 1, nil
	case n < maxRows:
		return offsets, -1, nil
	}
	return offsets, through, nil
}
