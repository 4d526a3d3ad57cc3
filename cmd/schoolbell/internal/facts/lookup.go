package facts

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// rows reads the rows of many keys, in their order.
type rows[K comparable, R any] func(ctx context.Context, keys []K) ([][]R, error)

// many makes a lookup of all rows of a key.
func many[K comparable, R, V any](read rows[K, R], convert func(R) V) consumers.Lookup[K, []V] {
	return func(ctx context.Context, keys []K) ([][]V, error) {
		found, err := read(ctx, keys)
		if err != nil {
			return nil, err
		}
		all := make([][]V, len(keys))
		for i, rows := range found {
			for _, row := range rows {
				all[i] = append(all[i], convert(row))
			}
		}
		return all, nil
	}
}

// one makes a lookup of the only row of a key.
func one[K comparable, R, V any](read rows[K, R], convert func(R) V) consumers.Lookup[K, V] {
	return func(ctx context.Context, keys []K) ([]V, error) {
		found, err := read(ctx, keys)
		if err != nil {
			return nil, err
		}
		all := make([]V, len(keys))
		for i, rows := range found {
			if len(rows) > 0 {
				all[i] = convert(rows[0])
			}
		}
		return all, nil
	}
}

func column[K any](keys []K, value func(K) string) []string {
	values := make([]string, len(keys))
	for i, key := range keys {
		values[i] = value(key)
	}
	return values
}

func schools[R any](
	tx pgx.Tx, read func(ctx context.Context, tx pgx.Tx, schools, days []string) ([][]R, error),
) rows[consumers.DayKey, R] {
	return func(ctx context.Context, keys []consumers.DayKey) ([][]R, error) {
		return read(ctx, tx,
			column(keys, func(k consumers.DayKey) string { return k.School }),
			column(keys, func(k consumers.DayKey) string { return k.On.String() }))
	}
}

func onDays[R any](
	tx pgx.Tx, read func(ctx context.Context, tx pgx.Tx, schools, ids, days []string) ([][]R, error),
) rows[consumers.DayKey, R] {
	return func(ctx context.Context, keys []consumers.DayKey) ([][]R, error) {
		return read(ctx, tx,
			column(keys, func(k consumers.DayKey) string { return k.School }),
			column(keys, func(k consumers.DayKey) string { return k.ID }),
			column(keys, func(k consumers.DayKey) string { return k.On.String() }))
	}
}

func within[R any](
	tx pgx.Tx,
	read func(ctx context.Context, tx pgx.Tx, schools, ids, from, to []string) ([][]R, error),
) rows[consumers.PeriodKey, R] {
	return func(ctx context.Context, keys []consumers.PeriodKey) ([][]R, error) {
		schools, ids, from, to := periods(keys)
		return read(ctx, tx, schools, ids, from, to)
	}
}

func periods(keys []consumers.PeriodKey) (schools, ids, from, to []string) {
	return column(keys, func(k consumers.PeriodKey) string { return k.School }),
		column(keys, func(k consumers.PeriodKey) string { return k.ID }),
		column(keys, func(k consumers.PeriodKey) string { return k.From.String() }),
		column(keys, func(k consumers.PeriodKey) string { return k.To.String() })
}

func schoolOf(k consumers.Key) string { return k.School }

// same is for facts that rules see as the tables have them.
func same[T any](v T) T { return v }

func ids[R any](
	tx pgx.Tx, read func(ctx context.Context, tx pgx.Tx, schools, ids []string) ([][]R, error),
) rows[consumers.Key, R] {
	return func(ctx context.Context, keys []consumers.Key) ([][]R, error) {
		return read(ctx, tx,
			column(keys, func(k consumers.Key) string { return k.School }),
			column(keys, func(k consumers.Key) string { return k.ID }))
	}
}

func terms[R any](
	tx pgx.Tx,
	read func(ctx context.Context, tx pgx.Tx, schools, ids, years, terms []string) ([][]R, error),
) rows[consumers.TermKey, R] {
	return func(ctx context.Context, keys []consumers.TermKey) ([][]R, error) {
		return read(ctx, tx,
			column(keys, func(k consumers.TermKey) string { return k.School }),
			column(keys, func(k consumers.TermKey) string { return k.ID }),
			column(keys, func(k consumers.TermKey) string { return string(k.Year) }),
			column(keys, func(k consumers.TermKey) string { return string(k.Term) }))
	}
}
