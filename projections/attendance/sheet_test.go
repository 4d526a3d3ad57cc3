package attendance

import (
	"slices"
	"strings"
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
				corrected: rapid.Bool().Draw(t, "corrected"),
			}
			at := slot{m.day, m.session}
			outranked := want[at].corrected && !m.corrected
			var old mark
			var taken bool
			s, old, taken = s.put(m)
			require.Equal(t, want[at], old)
			require.Equal(t, !outranked, taken)
			if taken {
				want[at] = m
			}
		}
		text := s.text()
		back, err := parseSheet(nil, text)
		require.NoError(t, err)
		require.Equal(t, s, back)
		away, _, _ := strings.Cut(text, "\n")
		first, err := parseSheet(nil, away)
		require.NoError(t, err)
		absent := map[int]bool{}
		for _, m := range s {
			absent[m.day] = absent[m.day] || m.absent()
		}
		require.Equal(t, append(sheet{}, slices.DeleteFunc(slices.Clone(s),
			func(m mark) bool { return !absent[m.day] })...), append(sheet{}, first...), "the first line has all marks of the days with an absence")
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
	want := sheet{
		{1, "day", "7A", attendance.Present, false},
		{2, "am", "7A", attendance.AbsentUnexcused, false},
		{2, "pm", "7B", attendance.Late, true},
	}
	for _, text := range []string{
		"=7A\t02Uam\t=7B\t02lpm\t\n=7A\t01Pday\t",
		"=7A\t01Pday\t02Uam\t=7B\t02lpm\t", // as it was written before
	} {
		s, err := parseSheet(nil, text)
		require.NoError(t, err)
		require.Equal(t, want, s)
	}
	require.Equal(t, "=7A\t02Uam\t=7B\t02lpm\t\n=7A\t01Pday\t", want.text())
}
