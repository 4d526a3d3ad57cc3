package performance_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/performance"
)

// Whatever order scores, their corrections, retakes and announcements arrive in, the tables hold the
// same, given one original and one correction of each attempt.
func TestAnyOrderOfArrivalGivesTheSameScores(t *testing.T) {
	t.Parallel()
	set, err := projections.NewSet(performance.Projection)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		var events []domain.Event
		for attempt := range rapid.Int64Range(1, 3).Draw(t, "attempts") {
			// an attempt is in a place of its own
			at := fmt.Sprint("class-", attempt)
			scored := assessment.Scored{
				AssessmentID: "a", StudentID: "s", ClassID: at, SubjectName: "maths", Year: "2026", Term: "1",
				Score: domain.Decimal(attempt), MaxScore: domain.DecimalUnit, Attempt: attempt + 1,
				Category: "quiz",
			}
			if rapid.Bool().Draw(t, "original") {
				events = append(events, &scored)
			}
			if attempt > 0 && rapid.Bool().Draw(t, "absent") {
				events = append(events, &assessment.Unscored{
					AssessmentID: "a", StudentID: "s", ClassID: at, SubjectName: "maths", Year: "2026", Term: "1",
					Status: assessment.Absent, Attempt: attempt + 1, Correction: true,
				})
				continue
			}
			corrected := assessment.ScoreCorrected(scored)
			corrected.Score += 100
			events = append(events, &corrected)
		}
		events = append(events, &assessment.Scheduled{
			AssessmentID: "a", ClassID: "c", SubjectName: "maths", Title: "A", MaxScore: 1, Scale: "ACT",
		})
		want := fold(t, set, events)
		require.Equal(t, want, fold(t, set, rapid.Permutation(events).Draw(t, "order")))
	})
}

// fold returns the rows that events lead to.
func fold(t *rapid.T, set *projections.Set, events []domain.Event) projections.Dump {
	reference := projections.NewReference(set, nil, 1, 1)
	for i, data := range events {
		require.NoError(t, reference.Fold(&domain.Envelope{
			School: "oak", Data: data, Position: domain.Position{Offset: int64(i)},
		}))
	}
	rows, err := reference.Dump()
	require.NoError(t, err)
	return rows
}

// The tables compare school years by the rule of the domain.
func TestTheTablesHaveTheSchoolYearsOfTheDomain(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(context.Background(), devtest.Postgres(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	labels := []domain.Label{
		"2026", "2026-2027", "2026/27", "26/27", "99/00", "26", "26/28", "SY 2026–27", "9", "10", "010", "first",
		"second", "", domain.Label(strings.Repeat("9", 18)), domain.Label(strings.Repeat("9", 19)),
		domain.Label("26/" + strings.Repeat("9", 25)), "٢٠٢٦", "20 26-27",
	}
	keys := make([]string, len(labels))
	for i, label := range labels {
		require.NoError(t, conn.QueryRow(context.Background(), "SELECT schoolbell.school_year($1)", label).Scan(&keys[i]))
	}
	for i := range labels {
		for j := range labels {
			require.Equal(t, domain.YearOf(labels[i]) == domain.YearOf(labels[j]), keys[i] == keys[j],
				"%q is %q, %q is %q", labels[i], keys[i], labels[j], keys[j])
		}
	}
}
