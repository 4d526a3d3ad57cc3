// Package read holds what the queries of the read models share: named statements, dates, ratios and
// the cursors of keyset pages.
//
// Statements are constants next to the query that runs them. [SQL.With] adds the conditions of a
// request, [All] scans rows into results, and [Cut] makes a page of them. There is no query builder, so
// that what the server plans can be read in one place.
package read

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/schoolbell/schoolbell/domain"
)

// SQL is a statement whose first line is a comment with its name, for example
// "-- attendance.by_day". Errors, the plans in docs/PERFORMANCE.md and the server's log show the name.
type SQL string

// Name returns the statement's name.
func (s SQL) Name() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(s)), "\n")
	return strings.TrimSpace(strings.TrimPrefix(line, "--"))
}

// With replaces the word /*where*/ in the statement by conditions, each with its AND. A condition
// that the request does not need is left out, rather than compared with an empty value, so that the
// planner can choose the index for those that remain.
func (s SQL) With(conditions ...string) SQL { return s.Put("where", conditions...) }

// Put does the same as [SQL.With] for another word.
func (s SQL) Put(word string, conditions ...string) SQL {
	var b strings.Builder
	for _, c := range conditions {
		if c != "" {
			b.WriteString(" AND ")
			b.WriteString(c)
		}
	}
	return SQL(strings.ReplaceAll(string(s), "/*"+word+"*/", b.String()))
}

// All returns every row of a statement. Into returns the addresses of a row's fields in the order
// of the columns.
func All[T any](
	ctx context.Context, tx pgx.Tx, s SQL, into func(*T) []any, args ...any,
) ([]T, error) {
	all := []T{}
	err := Each(ctx, tx, s, into, func(v T) { all = append(all, v) }, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Each calls visit with every row of a statement, one at a time: for those that are too many to hold
// as a list.
func Each[T any](
	ctx context.Context, tx pgx.Tx, s SQL, into func(*T) []any, visit func(T), args ...any,
) error {
	for i, a := range args {
		if d, ok := a.(domain.Date); ok {
			args[i] = pgtype.Date{Time: d.Time(), Valid: !d.IsZero()}
		}
	}
	rows, err := tx.Query(ctx, string(s), args...)
	if err != nil {
		return fmt.Errorf("query %s: %w", s.Name(), err)
	}
	var v T
	if _, err := pgx.ForEachRow(rows, addresses(into(&v)), func() error {
		visit(v)
		v = *new(T) // a list in it must not be shared with the next row
		return nil
	}); err != nil {
		return fmt.Errorf("query %s: %w", s.Name(), err)
	}
	return nil
}

// One returns the first row of a statement, and whether there is one.
func One[T any](
	ctx context.Context, tx pgx.Tx, s SQL, into func(*T) []any, args ...any,
) (T, bool, error) {
	all, err := All(ctx, tx, s, into, args...)
	if err != nil || len(all) == 0 {
		var none T
		return none, false, err
	}
	return all[0], true, nil
}

// addresses wraps dates, which pgx cannot scan.
func addresses(fields []any) []any {
	for i, f := range fields {
		if d, ok := f.(*domain.Date); ok {
			fields[i] = (*date)(d)
		}
	}
	return fields
}

type date domain.Date

// ScanDate takes NULL as no date, and so the first of all days: rows of before the directory had spans
// begin on it until the tables are rebuilt.
func (d *date) ScanDate(v pgtype.Date) error {
	*d = 0
	if day := domain.DateOf(v.Time); v.Valid && day != FirstDay {
		*d = date(day)
	}
	return nil
}

// Day is a date as a parameter of a query.
type Day struct{ domain.Date }

// Schema implements [huma.SchemaProvider].
func (Day) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date"}
}

// The days that no date of an event lies before or after: the bounds of a range that is open.
var (
	FirstDay = domain.NewDate(1, 1, 1)
	LastDay  = domain.NewDate(9999, 12, 31)
)

// Range closes a range that is open at one end or both.
func Range(from, to domain.Date) (first, last domain.Date) {
	if from.IsZero() {
		from = FirstDay
	}
	if to.IsZero() {
		to = LastDay
	}
	return from, to
}

// Ratio is part of whole to four digits; nil when there is no whole.
func Ratio(part, whole int64) *float64 {
	if whole == 0 {
		return nil
	}
	r := Round(float64(part)/float64(whole), 4)
	return &r
}

// Round rounds to a number of decimal digits.
func Round(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

// If returns the condition when a request needs it and nothing otherwise; see [SQL.With].
func If(needed bool, condition string) string {
	if needed {
		return condition
	}
	return ""
}
