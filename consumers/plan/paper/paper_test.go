package paper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/domain"
)

func TestDataSurvivesTheLedger(t *testing.T) {
	t.Parallel()
	average, class := 81.25, 70.0
	card := paper.ReportCard{
		Head: paper.Head{
			School: "Oak", StudentID: "s1", Student: "Zoë \"Z\" King",
			IssuedOn: domain.NewDate(2026, 12, 18),
		},
		Year: "2026-2027", Term: "1", Subjects: []paper.Subject{{
			Name: "maths", Average: &average, Class: &class, Remark: "Well done",
			Marks: []paper.Mark{{
				Title: "Fractions", On: domain.NewDate(2026, 10, 5), Score: 16_2500,
				Max: 20_0000,
			}},
		}},
		Average: &average, Rank: 3, RankOf: 24, Attendance: paper.Attendance{Days: 60.5, Late: 2},
	}
	params := paper.Encode(card)
	require.Contains(t, params.String(), `"school":"Oak"`)
	got, err := paper.Decode[paper.ReportCard](params)
	require.NoError(t, err)
	require.Equal(t, card, got)

	_, err = paper.Decode[paper.Receipt]([]byte(`{"amount":"much"}`))
	require.ErrorContains(t, err, "read the data of a document")
}
