package deadletter

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// planning is the place of letters of the planners, whose limit is their own.
const planning = "(planning)"

// Admit counts letters of the planners, which are stored in the ledger, towards the limits of the
// day, and returns which of them are within these. A transaction calls it once.
func Admit(ctx context.Context, tx pgx.Tx, letters []Letter) (admitted []bool, err error) {
	admitted = make([]bool, len(letters))
	order := make([]int, len(letters))
	for i := range order {
		order[i] = i
	}
	// First all schools and then all places, each in an order of their own, so that transactions do
	// not deadlock on the rows that count.
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(letters[a].School, letters[b].School)
	})
	schools, err := count(ctx, tx, order, func(b *pgx.Batch, i int) {
		b.Queue(`INSERT INTO schoolbell.deadletter_days AS d (school, day, n)
			VALUES ($1, (now() AT TIME ZONE 'UTC')::date, 1)
			ON CONFLICT (school, day) DO UPDATE SET n = d.n + 1 RETURNING n`,
			storable(letters[i].School))
	})
	if err != nil {
		return nil, err
	}
	order = slices.DeleteFunc(order, func(i int) bool { return schools[i] > DailyLimit })
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(letters[a].Position.Partition, letters[b].Position.Partition)
	})
	places, err := count(ctx, tx, order, func(b *pgx.Batch, i int) {
		b.Queue(`INSERT INTO schoolbell.deadletter_places AS d (topic, partition, day, n)
			VALUES ($1, $2, (now() AT TIME ZONE 'UTC')::date, 1)
			ON CONFLICT (topic, partition, day) DO UPDATE SET n = d.n + 1 RETURNING n`,
			planning, letters[i].Position.Partition)
	})
	for i, n := range places {
		admitted[i] = n <= PlaceLimit
	}
	return admitted, err
}

// count runs a statement that counts for each of some letters, and returns what it has counted.
func count(
	ctx context.Context, tx pgx.Tx, letters []int, queue func(*pgx.Batch, int),
) (map[int]int64, error) {
	batch, counted := &pgx.Batch{}, make(map[int]int64, len(letters))
	for _, i := range letters {
		queue(batch, i)
	}
	results := tx.SendBatch(ctx, batch)
	defer results.Close()
	for _, i := range letters {
		var n int64
		if err := results.QueryRow().Scan(&n); err != nil {
			return nil, fmt.Errorf("count dead letters: %w", err)
		}
		counted[i] = n
	}
	return counted, results.Close()
}
