package catalog_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/projtest"
)

func TestCatalogIsASet(t *testing.T) {
	t.Parallel()
	_, err := projections.NewSet(catalog.All()...)
	require.NoError(t, err)
}

func TestQueriesAreWellDeclared(t *testing.T) {
	t.Parallel()
	listed := map[*projections.Projection]bool{}
	for _, p := range catalog.All() {
		listed[p] = true
	}
	names, paths := map[string]bool{}, map[string]bool{}
	for _, q := range catalog.Queries() {
		info := q.Info()
		require.False(t, names[info.Name] || paths[info.Path], "%s is there twice", info.Name)
		names[info.Name], paths[info.Path] = true, true
		require.NotEmpty(t, info.Roles, info.Name)
		require.NotEmpty(t, info.Reads, info.Name)
		require.NotEmpty(t, info.Summary, info.Name)
		require.NotEmpty(t, info.Description, info.Name)
		require.NotEmpty(t, info.Tables, "%s has nothing to write as CSV", info.Name)
		for _, p := range info.Reads {
			require.True(t, listed[p], "%s reads %s, which is not in the catalogue", info.Name,
				p.Name)
		}
	}
}

// What is read from PostgreSQL is what was folded, in every table, also when workers change and
// forget rows.
func TestP8_TablesInPostgreSQLEqualAPlainFold(t *testing.T) {
	t.Parallel()
	set, err := projections.NewSet(catalog.All()...)
	require.NoError(t, err)
	pool := devtest.Pool(t, devtest.Postgres(t), postgres.Projector)
	store := postgres.NewProjectionStore(pool, set, "test")
	plain := projections.NewReference(set, nil, 1, 0)

	var batch *projections.Batch
	var claim projections.Claim
	commit := func() {
		rows, _ := batch.Take(10)
		require.NoError(t, store.Commit(t.Context(), claim,
			&projections.Commit{From: claim.Next, To: claim.Next + 1, Rows: rows}))
		claim.Next++
	}
	events := projtest.Events(1, 2000)
	for i, e := range events {
		require.NoError(t, plain.Fold(e))
		if i%400 == 0 { // a new worker, without rows in memory
			claim, err = store.Claim(t.Context(), 0, "topic")
			require.NoError(t, err)
			batch = projections.NewBatch(set, claim.Epoch == 1)
		}
		for outcome := projections.Missing; outcome != projections.Folded; {
			outcome, err = batch.Fold(e)
			require.NoError(t, err)
			if outcome == projections.Missing {
				require.NoError(t, store.Lookup(t.Context(), batch.Lookups()))
				batch.Settle()
			}
		}
		if i%50 == 49 || i == len(events)-1 {
			commit()
		}
	}
	want, err := plain.Dump()
	require.NoError(t, err)
	got, err := store.Dump(t.Context())
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(want, got))
	for _, table := range set.Tables() {
		require.NotEmpty(t, got[table.Schema().Name], "no row in %s", table.Schema().Name)
	}
}

// BenchmarkFold folds a school term's mix of events, of which four in five are marks of attendance,
// into all read models.
func BenchmarkFold(b *testing.B) {
	set, err := projections.NewSet(catalog.All()...)
	require.NoError(b, err)
	events := mixed(200_000)
	b.ReportAllocs()
	batch := projections.NewBatch(set, true)
	for i := 0; b.Loop(); i++ {
		if i%len(events) == 0 {
			batch = projections.NewBatch(set, true)
		}
		if outcome, err := batch.Fold(events[i%len(events)]); outcome != projections.Folded {
			b.Fatal(err)
		}
		if i%4000 == 3999 {
			batch.Take(1_000_000)
		}
	}
}

func mixed(n int) []*domain.Envelope {
	events := make([]*domain.Envelope, n)
	statuses := []string{
		attendance.Present, attendance.Present, attendance.Present, attendance.Present,
		attendance.Present, attendance.Present,
		attendance.Late, attendance.AbsentExcused, attendance.Present, attendance.AbsentUnexcused,
		attendance.Present,
	}
	for i := range events {
		studentID, classID := fmt.Sprintf("student-%04d", i%500), fmt.Sprintf("class-%02d", i%20)
		e := &domain.Envelope{
			School:   fmt.Sprintf("school-%02d", i/500%20),
			Time:     time.Unix(int64(1_790_000_000+i), 0),
			Position: domain.Position{Offset: int64(i)},
		}
		switch i % 10 {
		case 3:
			e.Data = &assessment.Scored{
				AssessmentID: fmt.Sprintf("a%d", i/10_000), StudentID: studentID, ClassID: classID,
				SubjectName: "maths",
				Score:       domain.Decimal(i%30) * domain.DecimalUnit, MaxScore: 30 * domain.DecimalUnit, Year: "2026-2027", Term: "autumn",
			}
		case 7:
			e.Data = &fee.Invoiced{
				InvoiceID: fmt.Sprintf("i%d", i), StudentID: studentID, Year: "2026-2027",
				Term:     "autumn",
				Category: "tuition", Amount: 50_000, Currency: "EUR",
				DueOn: domain.NewDate(2026, 10, 1),
			}
		default:
			e.Data = &attendance.Marked{
				StudentID: studentID, ClassID: classID, Date: domain.NewDate(2026, 9, 1+i/10_000),
				Session: "day", Status: statuses[i%len(statuses)],
			}
		}
		events[i] = e
	}
	return events
}
