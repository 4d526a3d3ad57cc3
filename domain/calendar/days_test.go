package calendar_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/exact"
)

func date(s string) domain.Date {
	d, err := domain.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// The year of the tests: two terms, the second of which the school says has 90 days.
var year = calendar.YearSet{
	Year: "2026-2027", From: date("2026-09-01"), To: date("2027-07-31"),
	Terms: []calendar.Term{
		{Term: "1", From: date("2026-09-01"), To: date("2026-12-18")},
		{Term: "2", From: date("2027-01-04"), To: date("2027-06-30"), InstructionalDays: 90},
	},
}

func day(on, kind string, classes ...string) calendar.DaySet {
	return calendar.DaySet{Date: date(on), Kind: kind, ClassIDs: classes}
}

func membership(d *calendar.Days, from, to string) *big.Rat {
	var s exact.Sum
	d.Add(&s, date(from), date(to), 1)
	return s.Rat()
}

func TestWhichDaysAreInstructional(t *testing.T) {
	t.Parallel()
	c := calendar.New([]calendar.YearSet{year}, []calendar.DaySet{
		day("2026-09-07", calendar.Holiday),
		day("2026-09-08", calendar.Closed),
		day("2026-09-09", calendar.Half),
		day("2026-09-12", calendar.Instructional), // a Saturday
		day("2026-09-07", calendar.Instructional, "7A"),
		day("2026-09-10", calendar.Closed, "7A", "7B"),
		day("2027-07-01", calendar.Instructional), // after the last term, and set
	}, calendar.Week{}, date("2026-09-01"), date("2027-07-31"))
	require.False(t, c.Derived())
	school, a, b := c.Of("8C"), c.Of("7A"), c.Of("7B")
	for _, is := range []struct {
		on             string
		school, sevenA int64
		sevenB         int64
	}{
		{"2026-09-01", 2, 2, 2},
		{"2026-09-05", 0, 0, 0}, // a Saturday
		{"2026-09-07", 0, 2, 0},
		{"2026-09-08", 0, 0, 0},
		{"2026-09-09", 1, 1, 1},
		{"2026-09-10", 2, 0, 0},
		{"2026-09-12", 2, 2, 2},
		{"2026-12-18", 2, 2, 2},
		{"2026-12-21", 0, 0, 0}, // between the terms
		{"2027-01-04", 2, 2, 2},
		{"2027-07-01", 2, 2, 2},
		{"2027-07-02", 0, 0, 0},
		{"2026-08-31", 0, 0, 0},
		{"2028-01-04", 0, 0, 0},
	} {
		require.Equal(t, is.school, school.Weight(date(is.on)), is.on)
		require.Equal(t, is.sevenA, a.Weight(date(is.on)), is.on)
		require.Equal(t, is.sevenB, b.Weight(date(is.on)), is.on)
	}
	require.Equal(t, school.Number(date("2026-09-12"))+1, school.Number(date("2026-09-14")),
		"days of school follow one another")
	require.Equal(t, school.Number(date("2026-09-12")), school.Number(date("2026-09-13")))
}

func TestTheDaysOfATermAreAsTheSchoolSays(t *testing.T) {
	t.Parallel()
	c := calendar.New([]calendar.YearSet{year},
		[]calendar.DaySet{day("2027-01-06", calendar.Half)}, calendar.Week{}, year.From, year.To)
	d := c.Of("7A")
	// 128 days from Monday to Friday, of which one is a half: 255 halves.
	require.Equal(t, int64(255), d.Halves(date("2027-01-04"), date("2027-06-30")))
	require.Zero(t, big.NewRat(90, 1).Cmp(membership(d, "2027-01-04", "2027-06-30")))
	require.Zero(t, big.NewRat(90*3, 255).Cmp(membership(d, "2027-01-05", "2027-01-06")),
		"a part of the term is the part that its days are of all days")
	require.Zero(t, big.NewRat(79+90, 1).Cmp(membership(d, "2026-09-01", "2027-07-31")))
	require.Zero(t, membership(d, "2026-12-19", "2027-01-03").Sign())
	_, term, ok := c.TermOf(date("2027-06-30"))
	require.True(t, ok)
	require.Equal(t, domain.Label("2"), term.Term)
	_, _, ok = c.TermOf(date("2027-07-01"))
	require.False(t, ok)
}

func TestWithoutAYearTheMarksOfAClassMakeItsCalendar(t *testing.T) {
	t.Parallel()
	before := year
	before.From, before.To = date("2024-09-01"), date("2025-07-31")
	c := calendar.New([]calendar.YearSet{before}, []calendar.DaySet{
		day("2026-10-05", calendar.Half), day("2026-10-06", calendar.Holiday),
		day("2026-10-07", calendar.Instructional),
	}, calendar.Week{}, date("2026-08-01"), date("2027-07-31"))
	require.True(t, c.Derived(), "a year of the past is none of the window")
	for _, on := range []string{"2026-10-04", "2026-10-02", "2026-10-05", "2026-10-06", "2026-10-02"} {
		c.Mark("7A", date(on))
	}
	d := c.Of("7A")
	for on, halves := range map[string]int64{
		"2026-10-01": 0, "2026-10-02": 2, "2026-10-03": 0,
		"2026-10-04": 2, // a Sunday with marks
		"2026-10-05": 1, "2026-10-06": 0,
		"2026-10-07": 0, // set, and without a mark
	} {
		require.Equal(t, halves, d.Weight(date(on)), on)
	}
	require.Zero(t, c.Of("7B").Weight(date("2026-10-02")))
	require.Zero(t, c.Of("7B").Number(date("2026-10-02")))
}

func TestASchoolYear(t *testing.T) {
	t.Parallel()
	for _, is := range []struct {
		on       string
		month    int
		name     domain.Label
		from, to string
	}{
		{"2026-09-01", 0, "2026-2027", "2026-09-01", "2027-07-31"}, // set
		{"2027-07-31", 0, "2026-2027", "2026-09-01", "2027-07-31"},
		{"2027-08-01", 0, "2027-2028", "2027-08-01", "2028-07-31"}, // by the month
		{"2026-08-31", 0, "2026-2027", "2026-08-01", "2027-07-31"},
		{"2026-08-31", 9, "2025-2026", "2025-09-01", "2026-08-31"},
		{"2024-02-29", 2, "2024-2025", "2024-02-01", "2025-01-31"},
		{"2024-02-29", 3, "2023-2024", "2023-03-01", "2024-02-29"},
		{"2024-12-31", 1, "2024", "2024-01-01", "2024-12-31"}, // of the southern half
		{"2025-01-01", 1, "2025", "2025-01-01", "2025-12-31"},
		{"2026-01-01", 99, "2025-2026", "2025-08-01", "2026-07-31"},
	} {
		got := calendar.YearOf([]calendar.YearSet{year}, is.month, date(is.on))
		require.Equal(t, is.name, got.Year, is.on)
		require.Equal(t, [2]string{is.from, is.to}, [2]string{got.From.String(), got.To.String()}, is.on)
	}
}

func TestADayIsOfOneYear(t *testing.T) {
	t.Parallel()
	other := year
	other.Year, other.From = "2027", date("2027-03-01")
	other.Terms = []calendar.Term{{Term: "x", From: date("2027-03-01"), To: date("2027-03-05")}}
	years := []calendar.YearSet{other, year}
	require.Equal(t, domain.Label("2027"), calendar.YearOf(years, 0, date("2027-03-01")).Year)
	require.Equal(t, domain.Label("2026-2027"), calendar.YearOf(years, 0, date("2027-02-28")).Year)
	d := calendar.New(years, nil, calendar.Week{}, year.From, year.To).Of("7A")
	require.Zero(t, big.NewRat(90, 1).Cmp(membership(d, "2027-01-04", "2027-02-28")),
		"a term ends with its year")
	require.Equal(t, int64(10), d.Halves(date("2027-03-01"), date("2027-07-31")))
}

func TestTheWeekIsTheSchools(t *testing.T) {
	t.Parallel()
	week, err := calendar.ParseWeek([]string{"sun", "mon", "tue", "wed", "thu"})
	require.NoError(t, err)
	d := calendar.New([]calendar.YearSet{year}, nil, week, year.From, year.To).Of("7A")
	require.Equal(t, int64(2), d.Weight(date("2026-09-06"))) // a Sunday
	require.Zero(t, d.Weight(date("2026-09-04")))            // a Friday
	for _, bad := range [][]string{{"Monday"}, {"mon", "mon"}, {""}} {
		_, err := calendar.ParseWeek(bad)
		require.Error(t, err)
	}
	require.Equal(t, "wed", calendar.WeekdayName(time.Wednesday))
}

func TestPartsAddUpToTheWhole(t *testing.T) {
	t.Parallel()
	kinds := []string{calendar.Instructional, calendar.Half, calendar.Holiday, calendar.Closed}
	rapid.Check(t, func(t *rapid.T) {
		var days []calendar.DaySet
		for range rapid.IntRange(0, 20).Draw(t, "days") {
			on := year.From.AddDays(rapid.IntRange(-5, 340).Draw(t, "on"))
			days = append(days, calendar.DaySet{
				Date: on, Kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
				ClassIDs: rapid.SliceOfN(rapid.SampledFrom([]string{"7A", "7B"}), 0, 2).Draw(t, "classes"),
			})
		}
		d := calendar.New([]calendar.YearSet{year}, days, calendar.Week{}, year.From, year.To).Of("7A")
		var all, parts exact.Sum
		first, last := year.From.AddDays(-10), year.To.AddDays(10)
		d.Add(&all, first, last, 3)
		for at := first; at <= last; {
			end := at.AddDays(rapid.IntRange(0, 60).Draw(t, "length"))
			d.Add(&parts, at, min(end, last), 3)
			at = end + 1
		}
		require.Zero(t, all.Rat().Cmp(parts.Rat()))
		var term exact.Sum
		d.Add(&term, year.Terms[1].From, year.Terms[1].To, 1)
		if d.Halves(year.Terms[1].From, year.Terms[1].To) > 0 {
			require.Zero(t, term.Rat().Cmp(big.NewRat(90, 1)), "the school has said how many")
		}
	})
}
