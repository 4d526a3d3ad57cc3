package attendance

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain/attendance"
)

func TestASheetReadsAsItWasWritten(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[!-~ä]{1,6}`) // what ids may be made of
	rapid.Check(t, func(t *rapid.T) {
		type slot struct {
			day     int
			session string
		}
		want := map[slot]mark{}
		var s sheet
		for range rapid.IntRange(0, 50).Draw(t, "marks") {
			m := mark{
				day: rapid.IntRange(1, 31).Draw(t, "day"), session: text.Draw(t, "session"),
				class: text.Draw(t, "class"),
				status: rapid.SampledFrom([]string{
					attendance.Present, attendance.Late, attendance.AbsentExcused,
					attendance.AbsentUnexcused,
				}).Draw(t, "status"),
			}
			at := slot{m.day, m.session}
			var old mark
			s, old = s.put(m)
			require.Equal(t, want[at], old)
			want[at] = m
		}
		back, err := parseSheet(nil, s.text())
		require.NoError(t, err)
		require.Equal(t, s, back)
		require.Len(t, back, len(want))
		for i, m := range back {
			require.Equal(t, want[slot{m.day, m.session}], m)
			if i > 0 {
				require.LessOrEqual(t, back[i-1].day, m.day)
			}
		}
	})
}

func TestWhatIsNoSheetIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"02P", "02P\t", "02Xday\t", "00Pday\t", "32Pday\t", "=7A", "\t",
		"=7A\t02Pday",
	} {
		_, err := parseSheet(nil, text)
		require.Error(t, err, "%q", text)
	}
	s, err := parseSheet(nil, "=7A\t01Pday\t02Uam\t=7B\t02Lpm\t")
	require.NoError(t, err)
	require.Equal(t, sheet{
		{1, "day", "7A", attendance.Present},
		{2, "am", "7A", attendance.AbsentUnexcused},
		{2, "pm", "7B", attendance.Late},
	}, s)
}
