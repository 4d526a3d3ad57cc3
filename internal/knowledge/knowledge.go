// Package knowledge answers what planners want to know, from the tables of the projections.
package knowledge

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// Tables is what the tables hold now. It implements [consumers.Facts].
type Tables struct {
	pool *postgres.Pool
	set  string
}

// New returns the knowledge of the tables of a set of projections. The pool has the role [postgres.Jobs].
func New(pool *postgres.Pool, set string) *Tables { return &Tables{pool: pool, set: set} }

// Snapshot implements [consumers.Facts].
func (t *Tables) Snapshot(ctx context.Context) (consumers.Snapshot, error) {
	conn, err := t.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{conn: conn}
	if s.tx, err = conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err != nil {
		conn.Release()
		return nil, fmt.Errorf("begin to read: %w", err)
	}
	// The snapshot is that of its first statement, so all positions are read at once and belong to it.
	if s.next, err = checkpoint.Next(ctx, s.tx, t.set); err != nil {
		_ = s.tx.Rollback(ctx)
		conn.Release()
		return nil, err
	}
	return s, nil
}

type snapshot struct {
	conn *pgxpool.Conn
	tx   pgx.Tx
	next map[int32]int64
}

// Close implements [consumers.Snapshot].
func (s *snapshot) Close() {
	if s.conn == nil {
		return
	}
	_ = s.tx.Rollback(context.Background()) // it has changed nothing
	s.conn.Release()
	s.conn = nil
}

// Next implements [consumers.Snapshot].
func (s *snapshot) Next(_ context.Context, partition int32) (int64, error) {
	return s.next[partition], nil
}

// Answer implements [consumers.Snapshot]: one query for each kind of question, all in one round trip.
func (s *snapshot) Answer(ctx context.Context, questions []*consumers.Question) error {
	byKind := map[consumers.QuestionKind][]*consumers.Question{}
	for _, q := range questions {
		byKind[q.Kind] = append(byKind[q.Kind], q)
	}
	batch := &pgx.Batch{}
	for kind, asked := range byKind {
		how, ok := answers[kind]
		if !ok {
			return fmt.Errorf("question of kind %d is not known", kind)
		}
		for _, q := range asked {
			q.Answer = how.nothing
		}
		how.queue(batch, asked)
	}
	if err := s.tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("read what is known: %w", err)
	}
	return nil
}

// answer is how one kind of question is answered.
type answer struct {
	nothing any    // the answer when there are no rows
	sql     string // the first column of its rows is the number of the question, counted from 1
	row     func(q *consumers.Question, row pgx.CollectableRow) error
}

func (a answer) queue(batch *pgx.Batch, asked []*consumers.Question) {
	columns := make([][]string, 7)
	for _, q := range asked {
		for i, v := range []string{q.School, q.ID, q.ClassID, string(q.Year), string(q.Term), q.From.String(), q.To.String()} {
			columns[i] = append(columns[i], v)
		}
	}
	batch.Queue(a.sql, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], columns[6]).Query(func(rows pgx.Rows) error {
		defer rows.Close()
		for rows.Next() {
			n := numbered{CollectableRow: rows}
			if err := rows.Scan(n.skip(len(rows.FieldDescriptions()))...); err != nil {
				return err
			}
			if err := a.row(asked[n.question-1], n); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// numbered is a row whose first column is the number of its question.
type numbered struct {
	pgx.CollectableRow
	question int64
}

// skip makes targets that read the number and leave the other columns alone.
func (n *numbered) skip(columns int) []any {
	into := make([]any, columns)
	into[0] = &n.question
	return into
}

// Scan reads the columns after the number.
func (n numbered) Scan(into ...any) error {
	return n.CollectableRow.Scan(append([]any{nil}, into...)...)
}

// Overdue implements [consumers.Debts].
func (t *Tables) Overdue(ctx context.Context, school string, day domain.Date) ([]consumers.Invoice, error) {
	rows, _ := t.pool.Conns().Query(ctx, `
		SELECT invoice_id, student_id, category, currency, year, term, amount, waived, open_amount, due_on FROM schoolbell.fee_invoices
		WHERE school = $1 AND open_amount > 0 AND due_on < $2 AND amount > 0 ORDER BY invoice_id`, school, day.Time())
	invoices, err := pgx.CollectRows(rows, scanInvoice)
	if err != nil {
		return nil, fmt.Errorf("read overdue invoices: %w", err)
	}
	return invoices, nil
}
