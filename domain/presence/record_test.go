package presence_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/presence"
)

func day(d int) domain.Date { return domain.NewDate(2026, 9, d) }

// basis is of a school that teaches from Monday to Friday from 1 September on; the 7th is a holiday
// and the 9th a half day.
func basis(mode string, today int) *presence.Basis {
	c := calendar.New([]calendar.YearSet{{
		Year: "2026", From: day(1), To: day(30),
		Terms: []calendar.Term{{Term: "1", From: day(1), To: day(30)}},
	}}, []calendar.DaySet{
		{Date: day(7), Kind: calendar.Holiday}, {Date: day(9), Kind: calendar.Half},
	}, calendar.Week{}, day(1), day(30))
	return &presence.Basis{Mode: mode, Calendar: c, From: day(1), To: day(today), Today: day(today)}
}

func marks(session, status string, days ...int) (all []presence.Mark) {
	for _, d := range days {
		all = append(all, presence.Mark{
			Date: day(d), ClassID: "7A", Session: presence.Session{Session: session, Status: status},
		})
	}
	return all
}

func TestARecordIsOfDaysInMembership(t *testing.T) {
	t.Parallel()
	b := basis(presence.ModeExceptions, 11) // 4 days, then 8, a half and 10, 11
	stay := func(from, to int) []presence.Stay {
		s := presence.Stay{ClassID: "7A", From: day(from)}
		if to > 0 {
			s.To = day(to)
		}
		return []presence.Stay{s}
	}
	absent := marks("day", attendance.AbsentExcused, 2, 5, 7, 9, 14)
	for _, is := range []struct {
		stays              []presence.Stay
		membership, absent string
	}{
		{stay(1, 0), "15/2", "3/2"},                        // the half day is half of one; Saturday, the holiday and what is to come are none
		{stay(3, 0), "11/2", "1/2"},                        // entered late
		{stay(1, 8), "5/1", "1/1"},                         // left
		{stay(20, 0), "0/1", "0/1"},                        // not yet
		{append(stay(1, 2), stay(8, 0)...), "11/2", "3/2"}, // came back
		{nil, "0/1", "0/1"},
	} {
		r := b.Record(is.stays, absent)
		require.Equal(t, is.membership, r.Membership.Rat().String(), "%v", is.stays)
		require.Equal(t, is.absent, r.Absent.Rat().String(), "%v", is.stays)
	}
	all := basis(presence.ModeAll, 11)
	r := all.Record(nil, append(marks("day", attendance.Present, 1), absent...))
	require.Equal(t, "5/2", r.Membership.Rat().String(), "whom nobody has enrolled is there on the days with marks")
	require.Equal(t, "3/2", r.Absent.Rat().String())
}

func TestStreaksAreInDaysOfSchool(t *testing.T) {
	t.Parallel()
	const absent, present = attendance.AbsentUnexcused, attendance.Present
	in := []presence.Stay{{ClassID: "7A", From: day(1)}}
	join := func(lists ...[]presence.Mark) (all []presence.Mark) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	for name, is := range map[string]struct {
		mode             string
		today            int
		marks            []presence.Mark
		current, longest int64
	}{
		"over a weekend and a holiday": {presence.ModeExceptions, 10, marks("day", absent, 3, 4, 8, 9), 4, 4},
		"a half day missed counts":     {presence.ModeExceptions, 9, marks("day", absent, 9), 1, 1},
		"present again":                {presence.ModeExceptions, 14, marks("day", absent, 3, 4, 8), 0, 3},
		"today may not be in yet":      {presence.ModeExceptions, 11, marks("day", absent, 9, 10), 2, 2},
		"but yesterday is":             {presence.ModeExceptions, 14, marks("day", absent, 9, 10), 0, 2},
		"a gap":                        {presence.ModeExceptions, 4, marks("day", absent, 1, 3, 4), 2, 2},
		"not marked, where all are":    {presence.ModeAll, 4, marks("day", absent, 1, 3), 2, 2},
		"marked present": {
			presence.ModeAll, 4, join(marks("day", absent, 1), marks("day", present, 2), marks("day", absent, 3)), 1, 1,
		},
		"half of a day is no whole day": {
			presence.ModeAll, 4,
			join(marks("day", absent, 1), marks("am", absent, 2), marks("day", absent, 3, 4)), 2, 2,
		},
		"no mark at all": {presence.ModeAll, 4, nil, 0, 0},
	} {
		b := basis(is.mode, is.today)
		got := b.Streaks(in, is.marks)
		require.Equal(t, presence.Streaks{Current: is.current, Longest: is.longest}, got, name)
	}
}

func TestOnlyExceptionsWithoutACalendarGiveNoRate(t *testing.T) {
	t.Parallel()
	b := basis(presence.ModeExceptions, 4)
	require.True(t, b.HasRates())
	b.Calendar = calendar.New(nil, nil, calendar.Week{}, day(1), day(4))
	require.False(t, b.HasRates())
	b.Mode = presence.ModeAll
	require.True(t, b.HasRates())
}
