package main

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// TestP4_AllTablesShowTheSamePoint reads tables of several projections in one snapshot while
// events come in. Every event is one mark of another student, so that each table must hold as
// many as the position says.
func TestP4_AllTablesShowTheSamePoint(t *testing.T) {
	t.Parallel()
	const events = 600
	a := startApp(t, nil)
	pool := devtest.Pool(t, a.Database, postgres.API)
	partition := eventlog.PartitionFor("north", 4)

	published := make(chan struct{})
	go func() {
		defer close(published)
		for n := range events / 3 {
			a.publish(
				t, "north", marked("north", 3*n, "present"), marked("north", 3*n+1, "present"),
				marked("north", 3*n+2, "late"),
			)
		}
	}()
	seen := map[int64]bool{}
	for last := int64(-1); last < events-1; {
		require.NoError(t, pool.Read(t.Context(), "north", func(tx pgx.Tx) error {
			at, err := checkpoint.Position(t.Context(), tx, program.SetName, partition)
			if err != nil {
				return err
			}
			last = at.Offset
			seen[last] = true
			for _, table := range []string{"attendance_months", "timeline"} {
				require.Equal(
					t, last+1, count(t.Context(), t, tx, table), "rows of %s at %s", table, at,
				)
			}
			return nil
		}))
	}
	<-published
	require.Greater(t, len(seen), 5, "the snapshots were taken while events came in")
}

func count(ctx context.Context, t *testing.T, tx pgx.Tx, table string) (n int64) {
	t.Helper()
	require.NoError(
		t, tx.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{table}.Sanitize()).Scan(&n),
	)
	return n
}
