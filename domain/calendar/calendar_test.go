package calendar_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/calendar"
)

func TestWhatIsWrongWithAYearIsNamed(t *testing.T) {
	t.Parallel()
	term := func(name, from, to string, days int64) calendar.Term {
		return calendar.Term{
			Term: domain.Label(name), From: date(from), To: date(to), InstructionalDays: days,
		}
	}
	for name, is := range map[string]struct {
		change  func(*calendar.YearSet)
		pointer string
	}{
		"nothing":    {func(*calendar.YearSet) {}, ""},
		"ends first": {func(e *calendar.YearSet) { e.To, e.Terms = date("2026-08-01"), nil }, "/to"},
		"ends late":  {func(e *calendar.YearSet) { e.To = date("2029-01-01") }, "/to"},
		"no name":    {func(e *calendar.YearSet) { e.Year = "" }, "/year"},
		"before the year": {
			func(e *calendar.YearSet) { e.Terms[0].From = date("2026-08-31") }, "/terms/0/from",
		},
		"after the year": {
			func(e *calendar.YearSet) { e.Terms[1].To = date("2027-08-01") }, "/terms/1/to",
		},
		"overlapping": {
			func(e *calendar.YearSet) { e.Terms[1].From = date("2026-12-18") }, "/terms/1/from",
		},
		"twice": {func(e *calendar.YearSet) { e.Terms[1].Term = "1" }, "/terms/1/term"},
		"too many days": {
			func(e *calendar.YearSet) { e.Terms = []calendar.Term{term("1", "2026-09-01", "2026-09-05", 6)} },
			"/terms/0/instructional_days",
		},
		"negative days": {
			func(e *calendar.YearSet) { e.Terms[0].InstructionalDays = -1 }, "/terms/0/instructional_days",
		},
		"too many terms": {
			func(e *calendar.YearSet) { e.Terms = make([]calendar.Term, 25) }, "/terms",
		},
		"far ahead": {
			func(e *calendar.YearSet) {
				e.From, e.To, e.Terms = date("2031-09-01"), date("2032-07-31"), nil
			}, "/from",
		},
	} {
		e := year
		e.Terms = append([]calendar.Term{}, year.Terms...)
		is.change(&e)
		f := domain.Faults{Day: date("2026-06-01")} // a plan is made before the year
		e.Validate(&f)
		if is.pointer == "" {
			require.Empty(t, f.List, name)
			continue
		}
		var at []string
		for _, fault := range f.List {
			at = append(at, fault.Pointer)
		}
		require.Contains(t, at, is.pointer, name)
	}
}
