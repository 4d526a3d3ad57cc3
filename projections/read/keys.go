package read

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// PerKey runs a statement that looks up n keys at once, and returns the rows of each of them. The
// statement's first column is the number of the key that a row belongs to, from 1 on as WITH
// ORDINALITY counts; into gives the addresses for the others. Times are in UTC, and the zero time
// stands for NULL.
func PerKey[T any](
	ctx context.Context, tx pgx.Tx, n int, s SQL, into func(*T) []any, args ...any,
) ([][]T, error) {
	found := make([][]T, n)
	rows, err := tx.Query(ctx, string(s), args...)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", s.Name(), err)
	}
	var v T
	var key int64
	targets := append([]any{&key}, addresses(into(&v))...)
	for i, target := range targets {
		if t, ok := target.(*time.Time); ok {
			targets[i] = (*instant)(t)
		}
	}
	if _, err := pgx.ForEachRow(rows, targets, func() error {
		found[key-1] = append(found[key-1], v)
		v = *new(T) // a list in it must not be shared with the next row
		return nil
	}); err != nil {
		return nil, fmt.Errorf("query %s: %w", s.Name(), err)
	}
	return found, nil
}

type instant time.Time

// ScanTimestamptz implements [pgtype.TimestamptzScanner].
func (t *instant) ScanTimestamptz(v pgtype.Timestamptz) error {
	*t = instant{}
	if v.Valid {
		*t = instant(v.Time.UTC())
	}
	return nil
}
