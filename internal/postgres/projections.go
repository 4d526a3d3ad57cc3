package postgres

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
	"github.com/schoolbell/schoolbell/projections"
)

// ProjectionStore stores the tables of a set of projections. It implements [projections.Store].
//
// A commit is one round trip: the fence, one statement for each changed table, and the parked
// events go out together and are one transaction, because PostgreSQL ends the implicit transaction
// of a pipeline only where the pipeline ends. The fence comes first and fails when the claim is not
// the latest, and then nothing after it is done.
type ProjectionStore struct {
	pool   *Pool
	set    *projections.Set
	name   string
	tables map[string]tableStatements

	// DeadLetters counts what the engine passes over; nil counts nothing.
	DeadLetters *deadletter.Metrics

	buffers sync.Pool // of *[]byte, for columns on their way into a pipeline
}

// NewProjectionStore returns a store for the set's tables under the set's name. The pool has the
// role [Projector]; its schema is where all of them are.
func NewProjectionStore(pool *Pool, set *projections.Set, name string) *ProjectionStore {
	s := &ProjectionStore{pool: pool, set: set, name: name, tables: map[string]tableStatements{}}
	for _, t := range set.Tables() {
		s.tables[t.Schema().Name] = newTableStatements(t.Schema())
	}
	return s
}

// Claim implements [projections.Store]. Unlike other commits it waits for the disk: after a
// crash of the server no epoch may be given out a second time.
func (s *ProjectionStore) Claim(
	ctx context.Context, partition int32, topicID string,
) (projections.Claim, error) {
	var claim projections.Claim
	err := s.pool.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = on`); err != nil {
			return err
		}
		c, err := checkpoint.Take(ctx, tx, s.name, partition, topicID)
		var other *checkpoint.TopicError
		switch {
		case errors.As(err, &other):
			return &projections.TopicError{
				Partition: partition, Stored: other.Stored,
				Current: other.Current,
			}
		case err != nil:
			return err
		}
		claim = projections.Claim{
			Partition: partition, Epoch: c.Epoch, Next: c.Next, Tables: c.Tables, Last: c.Last,
		}
		// The row is locked until the end, so that no rebuild exchanges the tables in between.
		return s.checkVersions(ctx, tx)
	})
	return claim, err
}

// Refuse implements [projections.Store].
func (s *ProjectionStore) Refuse(
	ctx context.Context, claim projections.Claim, refusal *eventlog.Refusal,
) error {
	return checkpoint.Refuse(ctx, s.pool.Conns(), s.name, refusal, claim.Next, claim.Last)
}

// Lookup implements [projections.Store]: one query for each table, all in one round trip.
func (s *ProjectionStore) Lookup(ctx context.Context, wanted []projections.Lookup) error {
	p, err := s.newPipeline(ctx)
	if err != nil {
		return err
	}
	defer p.release()
	for _, l := range wanted {
		if err := p.exec(s.tables[l.Schema().Name].lookup, l.Schema().Columns[:l.Schema().Keys],
			l.Len(), l.Key); err != nil {
			return err
		}
	}
	return p.run(func(i int, row [][]byte) error {
		columns := wanted[i].Schema().Columns
		return wanted[i].Found(func(column int, into reflect.Value) error {
			v, err := decodeValue(columns[column].Kind, row[column])
			if err != nil {
				return fmt.Errorf("read column %s of %s: %w", columns[column].Name,
					wanted[i].Schema().Name, err)
			}
			return columns[column].SetValue(into, v)
		})
	})
}

// Commit implements [projections.Store].
func (s *ProjectionStore) Commit(
	ctx context.Context, claim projections.Claim, c *projections.Commit,
) error {
	p, err := s.newPipeline(ctx)
	if err != nil {
		return err
	}
	defer p.release()
	p.execParams(checkpoint.AdvanceSQL, s.name, claim.Partition, claim.Epoch, c.From, c.To,
		c.Last.Offset, checkpoint.DigestBytes(c.Last.Digest))
	for _, set := range c.Rows {
		if err := s.write(p, set); err != nil {
			return err
		}
	}
	if err := p.addBlocks(c.Blocks); err != nil {
		return err
	}
	s.park(p, claim.Partition, &c.Parking)
	if len(c.Unusable) > 0 {
		return p.runWithLetters(c.Unusable)
	}
	return classify(p.run(nil))
}

// runWithLetters sends everything, and dead letters with it, as one transaction.
func (p *pipeline) runWithLetters(unusable []projections.UnusableRecord) error {
	letters := make([]deadletter.Letter, len(unusable))
	for i := range unusable {
		u := &unusable[i]
		kind := deadletter.Log
		if _, conflict := errors.AsType[*eventlog.ConflictError](u.Reason); conflict {
			kind = deadletter.Conflict
		}
		letters[i] = deadletter.Of(kind, "", &u.Record, u.Reason)
		letters[i].Last = u.Last
	}
	var stored []bool
	err := pgx.BeginFunc(p.ctx, p.conn, func(tx pgx.Tx) (err error) {
		if err := classify(p.run(nil)); err != nil {
			return err
		}
		stored, err = deadletter.WriteAll(p.ctx, tx, letters)
		return err
	})
	if err != nil {
		return err
	}
	for i := range letters {
		p.store.DeadLetters.Count(letters[i].Kind, stored[i])
	}
	return nil
}

// write sends the rows of a table. Inserting a row that is certainly new costs the server about
// half of an upsert, which looks for it first.
func (s *ProjectionStore) write(p *pipeline, set projections.RowSet) error {
	statements, columns := s.tables[set.Schema().Name], set.Schema().Columns
	var added, changed, removed []int
	for i := range set.Len() {
		switch {
		case set.Deleted(i):
			removed = append(removed, i)
		case set.New(i):
			added = append(added, i)
		default:
			changed = append(changed, i)
		}
	}
	for _, part := range []struct {
		rows      []int
		statement statement
		columns   []projections.Column
	}{
		{removed, statements.remove, columns[:set.Schema().Keys]},
		{changed, statements.upsert, columns},
		{added, statements.insert, columns},
	} {
		if len(part.rows) == 0 {
			continue
		}
		if err := p.exec(part.statement, part.columns, len(part.rows),
			func(i, column int) reflect.Value {
				return set.Value(part.rows[i], column)
			}); err != nil {
			return err
		}
	}
	return nil
}

// Dump reads all tables.
func (s *ProjectionStore) Dump(ctx context.Context) (projections.Dump, error) {
	p, err := s.newPipeline(ctx)
	if err != nil {
		return nil, err
	}
	defer p.release()
	tables := s.set.Tables()
	for _, t := range tables {
		if err := p.exec(s.tables[t.Schema().Name].all, nil, 0, nil); err != nil {
			return nil, err
		}
	}
	d := projections.Dump{}
	err = p.run(func(i int, row [][]byte) error {
		schema := tables[i].Schema()
		values := make([]any, len(row))
		for column, raw := range row {
			if values[column], err = decodeValue(schema.Columns[column].Kind, raw); err != nil {
				return fmt.Errorf("read column %s of %s: %w", schema.Columns[column].Name,
					schema.Name, err)
			}
		}
		return d.Add(schema, values)
	})
	return d, err
}

// pipeline collects statements that go to the server together.
type pipeline struct {
	ctx    context.Context
	store  *ProjectionStore
	conn   *pgxpool.Conn
	batch  pgconn.Batch
	buf    *[]byte
	params [][]byte
}

func (s *ProjectionStore) newPipeline(ctx context.Context) (*pipeline, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	buf, ok := s.buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	return &pipeline{ctx: ctx, store: s, conn: conn, buf: buf}, nil
}

func (p *pipeline) release() {
	p.conn.Release()
	p.store.buffers.Put(p.buf)
}

var binaryFormat = []int16{1}

// exec adds a prepared statement whose parameters are n values of each column.
func (p *pipeline) exec(
	st statement, columns []projections.Column, n int, value func(i, column int) reflect.Value,
) error {
	if err := st.prepare(p.ctx, p.conn.Conn().PgConn()); err != nil {
		return err
	}
	buf := (*p.buf)[:0]
	ends := make([]int, len(columns))
	for c := range columns {
		var err error
		if buf, err = appendArray(buf, columns[c].Kind, n,
			func(i int) reflect.Value { return value(i, c) }); err != nil {
			return fmt.Errorf("column %s: %w", columns[c].Name, err)
		}
		ends[c] = len(buf)
	}
	*p.buf, p.params = buf, p.params[:0]
	start := 0
	for _, end := range ends {
		p.params = append(p.params, buf[start:end])
		start = end
	}
	p.batch.ExecPrepared(st.name, p.params, binaryFormat, binaryFormat)
	return nil
}

// run sends everything and hands the rows of the i-th statement to each.
func (p *pipeline) run(each func(i int, row [][]byte) error) error {
	results := p.conn.Conn().PgConn().ExecBatch(p.ctx, &p.batch)
	var failed error
	for i := 0; results.NextResult(); i++ {
		for rows := results.ResultReader(); rows.NextRow(); {
			if each != nil && failed == nil {
				failed = each(i, rows.Values())
			}
		}
	}
	return errors.Join(failed, results.Close())
}
