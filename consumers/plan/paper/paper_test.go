package paper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/domain"
)

func TestDataSurvivesTheLedger(t *testing.T) {
	t.Parallel()
	card := paper.ReportCard{
		Head: paper.Head{
			School: "Oak", StudentID: "s1", Student: "Zoë \"Z\" King",
			IssuedOn: domain.NewDate(2026, 12, 18),
		},
		Year: "2026-2027", Term: "1", Subjects: []paper.Subject{{
			Name: "maths", Average: 81.25, Class: 70, Remark: "Well done",
			Marks: []paper.Mark{{
				Title: "Fractions", On: domain.NewDate(2026, 10, 5), Score: 16.25,
				Max: 20,
			}},
		}},
		Average: 81.25, Rank: 3, RankOf: 24, Attendance: paper.Attendance{Days: 60.5, Late: 2},
	}
	params := paper.Encode(card)
	require.Contains(t, params.String(), `"school":"Oak"`)
	got, err := paper.Decode[paper.ReportCard](params)
	require.NoError(t, err)
	require.Equal(t, card, got)

	_, err = paper.Decode[paper.Receipt]([]byte(`{"amount":"much"}`))
	require.ErrorContains(t, err, "read the data of a document")
}
