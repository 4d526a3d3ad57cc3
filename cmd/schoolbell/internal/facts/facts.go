// Package facts reads the facts that the rules of messages look up (consumers.Facts) from the
// tables of the read models.
//
// The rules and the read models do not know each other. consumers.Lookups names what rules need;
// each read model exports functions that read its own tables over a transaction; this package joins
// the two, so that all facts of a plan come from one snapshot. Where the types of both sides have
// the same fields one is converted into the other, and the compiler notices when they differ.
//
// The first change: a new kind of fact is one line in [lookups].
package facts

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	days "github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/presence"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections/attendance"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/fees"
	"github.com/schoolbell/schoolbell/projections/performance"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Tables are the tables of a set of projections.
type Tables struct {
	pool *postgres.Pool
	set  string
}

// New returns the tables of a set of projections. The pool has the role [postgres.Jobs].
func New(pool *postgres.Pool, set string) *Tables { return &Tables{pool: pool, set: set} }

// Snapshot takes a snapshot of the tables, which holds a connection until it is closed.
func (t *Tables) Snapshot(ctx context.Context) (*consumers.Snapshot, error) {
	conn, err := t.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{
		IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly,
	})
	if err != nil {
		conn.Release()
		return nil, fmt.Errorf("begin to read facts: %w", err)
	}
	closed := sync.OnceFunc(func() {
		_ = tx.Rollback(context.WithoutCancel(ctx)) // it has changed nothing
		conn.Release()
	})
	// The snapshot is that of the transaction's first statement: the positions belong to it.
	next, err := checkpoint.Next(ctx, tx, t.set)
	if err != nil {
		closed()
		return nil, err
	}
	return &consumers.Snapshot{
		Next:    func(partition int32) int64 { return next[partition] },
		Close:   closed,
		Lookups: lookups(tx),
	}, nil
}

// Overdue returns the invoices of a school that were due before a day and are open, by id.
func (t *Tables) Overdue(
	ctx context.Context, school string, day domain.Date,
) (invoices []consumers.Invoice, err error) {
	err = pgx.BeginTxFunc(ctx, t.pool.Conns(), pgx.TxOptions{AccessMode: pgx.ReadOnly},
		func(tx pgx.Tx) error {
			overdue, err := fees.OverdueFacts(ctx, tx, school, day)
			for _, i := range overdue {
				invoices = append(invoices, consumers.Invoice(i))
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read overdue invoices: %w", err)
	}
	return invoices, nil
}

func lookups(tx pgx.Tx) consumers.Lookups {
	student := func(s students.StudentFacts) consumers.Student { return consumers.Student(s) }
	guardian := func(g students.GuardianFacts) consumers.Guardian { return consumers.Guardian(g) }
	return consumers.Lookups{
		Student:   one(onDays(tx, students.FactsByID), student),
		Guardians: many(onDays(tx, students.GuardianFactsOf), guardian),
		Guardian:  one(ids(tx, students.GuardianFactsByID), guardian),
		Class:     many(onDays(tx, students.FactsByClass), student),
		Classes:   many(schools(tx, students.ClassIDs), func(id string) string { return id }),
		Staff: many(schools(tx, students.StaffFactsOf), func(s students.StaffFacts) consumers.Staff {
			return consumers.Staff(s)
		}),
		Invoice: one(ids(tx, fees.InvoiceFactsByID), func(i fees.InvoiceFacts) consumers.Invoice {
			return consumers.Invoice(i)
		}),
		Payment: one(ids(tx, fees.PaymentFactsByID), func(p fees.PaymentFacts) consumers.Payment {
			return consumers.Payment(p)
		}),
		Account: many(ids(tx, fees.AccountFactsOf), movement),
		Years: func(ctx context.Context, keys []consumers.Key) ([][]days.YearSet, error) {
			return calendar.YearFacts(ctx, tx, column(keys, schoolOf))
		},
		Days: func(ctx context.Context, keys []consumers.PeriodKey) ([][]days.DaySet, error) {
			schools, _, from, to := periods(keys)
			return calendar.DayFacts(ctx, tx, schools, from, to)
		},
		Stays: many(ids(tx, students.StayFacts), same[presence.Stay]),
		Absences: many(onDays(tx, attendance.AbsenceFactsOf),
			func(a attendance.AbsenceFacts) consumers.AbsenceChange { return consumers.AbsenceChange(a) }),
		Presence:  many(within(tx, attendance.MarkFacts), same[presence.Mark]),
		ClassDays: many(within(tx, attendance.ClassDays), same[domain.Date]),
		Marked: one(within(tx, attendance.CountFacts),
			func(c attendance.CountFact) consumers.MarkCount { return consumers.MarkCount(c) }),
		Scores: many(terms(tx, performance.ScoreFactsOf),
			func(s performance.ScoreFacts) consumers.Score { return consumers.Score(s) }),
		Remarks: many(terms(tx, performance.RemarkFactsOf),
			func(r performance.RemarkFacts) consumers.Remark { return consumers.Remark(r) }),
		Marks: many(terms(tx, performance.MarkFactsOf),
			func(m performance.MarkFacts) consumers.Mark { return consumers.Mark(m) }),
		Published: many(func(
			ctx context.Context, keys []consumers.YearKey,
		) ([][]performance.PublishedFacts, error) {
			return performance.PublishedFactsOf(ctx, tx,
				column(keys, func(k consumers.YearKey) string { return k.School }),
				column(keys, func(k consumers.YearKey) string { return k.ID }),
				column(keys, func(k consumers.YearKey) string { return string(k.Year) }))
		}, func(p performance.PublishedFacts) consumers.Published { return consumers.Published(p) }),
	}
}

func movement(m fees.MovementFacts) consumers.Movement {
	return consumers.Movement{
		Kind: consumers.MovementKind(m.Kind), Position: m.Position, At: m.At,
		InvoiceID: m.InvoiceID, PaymentID: m.PaymentID,
		Category: m.Category, Currency: m.Currency, Method: m.Method, Reason: m.Reason,
		Year: m.Year, Term: m.Term, Amount: m.Amount, DueOn: m.DueOn,
	}
}
