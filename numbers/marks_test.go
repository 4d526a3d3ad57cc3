package numbers_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/numbers"
)

// scores draws assessments and scores of a school: maxima that make thirds and sevenths, corrections
// before and after what they correct, attempts, other scales, and scores beyond the maximum.
func scores(r *rand.Rand, count int) []*domain.Envelope {
	var events []*domain.Envelope
	for n := range count {
		id, class := fmt.Sprint("a", r.IntN(6)), fmt.Sprint("c", r.IntN(2))
		scale := ""
		if r.IntN(6) == 0 {
			scale = []string{"percent", "ACT"}[r.IntN(2)]
		}
		maximum := domain.Decimal([]int64{1, 3, 7, 20, 36, 100}[r.IntN(6)]) * domain.DecimalUnit
		scored := assessment.Scored{
			AssessmentID: id, StudentID: fmt.Sprint("s", r.IntN(4)), ClassID: class,
			SubjectName: "M", Year: "2026-2027", Term: "1", MaxScore: maximum, Scale: scale,
			Score: domain.Decimal(r.Int64N(int64(maximum) + 1)), Attempt: int64(r.IntN(3)),
		}
		if r.IntN(3) == 0 { // exactly a half
			scored.Score = maximum / 2
		}
		if r.IntN(9) == 0 {
			scored.Score, scored.ExtraCredit = maximum+domain.DecimalUnit, true
		}
		var data domain.Event = &scored
		switch r.IntN(6) {
		case 0:
			data = (*assessment.ScoreCorrected)(&scored)
		case 1:
			data = &assessment.Scheduled{
				AssessmentID: id, ClassID: class, SubjectName: "M", Title: id, MaxScore: maximum,
				On: today.AddDays(-n), Year: "2026-2027", Term: "1", Scale: scale,
			}
		}
		events = append(events, &domain.Envelope{
			ID: fmt.Sprint(n), Source: "/sis", School: "oak", Subject: data.Subject(),
			Time: today.Time().Add(time.Duration(n-count) * time.Hour), Data: data,
			Position: domain.Position{Offset: int64(n)},
		})
	}
	return events
}

func TestMarksEqualTheCalculation(t *testing.T) {
	t.Parallel()
	school, _ := schools(t)
	values := 0
	for seed := range uint64(histories()) {
		r := rand.New(rand.NewPCG(seed, 2))
		events := scores(r, 1+r.IntN(50))
		found := numbers.Compare(numbers.Marks(events),
			school.Get(t, events, "/analytics/performance"))
		require.Empty(t, found.Differences, "seed %d", seed)
		values += found.Values
	}
	t.Logf("%d values are equal", values)
	require.Greater(t, values, 10*histories())
}
