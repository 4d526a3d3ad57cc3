package plan_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/edfi"
	"github.com/schoolbell/schoolbell/internal/edfi/edfitest"
)

// The sample district that Ed-Fi publishes, with texts about absences on and their age unlimited. How many texts there
// must be is counted from its files by other means than the importer's and the planner's.
func TestTextsOfAWholeDistrict(t *testing.T) {
	t.Parallel()
	dir := edfitest.Dir(t)
	want, excused := edfitest.AbsenceTexts(t, dir)

	im, err := edfi.Open(t.Context(), os.DirFS(dir), nil)
	require.NoError(t, err)
	schools := map[string]*scenario{}
	settings := &consumers.Settings{Rules: map[string]consumers.Rule{"absence": {MaxAge: -1}}}
	got, texts := map[edfitest.Day]int{}, 0
	_, err = im.Events(t.Context(), func(e *domain.Envelope) error {
		s := schools[e.School]
		if s == nil {
			s = newScenario(t, settings)
			schools[e.School] = s
		}
		s.known.Add(e)
		imported := time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC) // years later
		for _, d := range s.plan(t, e, imported) {
			require.Equal(t, "absence", d.Planner, "nothing else is worth telling after so long")
			require.Equal(t, consumers.SMS, d.Channel)
			date, _ := d.Params["date"].(string)
			got[edfitest.Day{School: e.School, Student: d.About, Date: date}]++
			texts++
		}
		return nil
	})
	require.NoError(t, err)

	total := 0
	for a, n := range want {
		require.Equal(t, n, got[a], "%v", a)
		total += n
	}
	require.Equal(t, total, texts)
	t.Logf("%d unexcused absences of students whose primary guardian has a telephone, %d texts; %d excused ones, no text", total, texts, excused)
}
