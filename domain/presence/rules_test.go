package presence_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/exact"
	"github.com/schoolbell/schoolbell/domain/presence"
)

// sessions reads "am absent_excused, pm present".
func sessions(text string) (all []presence.Session) {
	for one := range strings.SplitSeq(text, ", ") {
		session, status, _ := strings.Cut(one, " ")
		all = append(all, presence.Session{Session: session, Status: status})
	}
	return all
}

func TestWhatPartOfADayIsMissed(t *testing.T) {
	t.Parallel()
	const all, exceptions = presence.ModeAll, presence.ModeExceptions
	sixths := presence.Rules{Day: map[string]exact.Fraction{"*": {Num: 1, Den: 6}}}
	table := presence.Rules{Day: map[string]exact.Fraction{
		"P1": {Num: 1, Den: 4}, "am": {Num: 3, Den: 5},
	}}
	for _, is := range []struct {
		rules   presence.Rules
		mode    string
		marks   string
		missed  string
		counted bool
	}{
		{presence.Rules{}, all, "day absent_unexcused", "1", true},
		{presence.Rules{}, all, "day absent_excused", "1", true},
		{presence.Rules{}, all, "day late", "0", true},
		{presence.Rules{}, all, "am absent_excused", "1/2", true},
		{presence.Rules{}, all, "am absent_excused, pm absent_unexcused", "1", true},
		{presence.Rules{}, all, "am present, pm absent_unexcused", "1/2", true},
		// A mark of the day is the day's, and not one more.
		{presence.Rules{}, all, "am absent_excused, day absent_excused, pm absent_excused", "1", true},
		{presence.Rules{}, all, "am absent_excused, day present", "0", true},
		// Periods are equal parts of the day, or of what halves leave of it.
		{presence.Rules{}, all, "P1 absent_excused, P2 present, P3 late", "1/3", true},
		{presence.Rules{}, all, "P1 absent_excused, P2 absent_excused", "1", true},
		{presence.Rules{}, all, "P1 absent_excused, am present", "1/2", true},
		{presence.Rules{}, all, "P1 absent_excused, P2 present, am absent_excused", "3/4", true},
		{presence.Rules{}, all, "P1 absent_excused, am present, pm present", "0", true},
		// Where only exceptions are marked, nobody knows how many periods the day had.
		{presence.Rules{}, exceptions, "P1 absent_excused", "0", false},
		{presence.Rules{}, exceptions, "P1 late", "0", true},
		{presence.Rules{}, exceptions, "P1 absent_excused, am absent_excused", "1/2", false},
		{sixths, exceptions, "P1 absent_excused, P4 absent_unexcused", "1/3", true},
		{sixths, all, "P1 absent_excused, P4 present", "1/6", true},
		{sixths, all, "P1 absent_excused, P2 absent_excused, P3 absent_excused, P4 absent_excused, " +
			"P5 absent_excused, P6 absent_excused, P7 absent_excused", "1", true},
		{table, all, "P1 absent_excused, P2 present", "1/4", true},
		{table, all, "P1 present, P2 absent_excused, P3 present", "3/8", true},
		{table, all, "am absent_excused", "3/5", true},
		{table, all, "am absent_excused, pm absent_excused", "1", true},
	} {
		part, counted := is.rules.Absent(is.mode, sessions(is.marks))
		require.Equal(t, is.missed, strings.TrimSuffix(part.Rat().String(), "/1"), "%s %s", is.mode, is.marks)
		require.Equal(t, is.counted, counted, "%s %s", is.mode, is.marks)
	}
}

func record(membership, absent exact.Fraction) *presence.Record {
	r := &presence.Record{}
	r.Membership.Add(membership.Num, membership.Den)
	r.Absent.Add(absent.Num, absent.Den)
	return r
}

func TestARate(t *testing.T) {
	t.Parallel()
	rate := func(membership, absent exact.Fraction) *float64 { return record(membership, absent).Rate() }
	require.Nil(t, rate(exact.Fraction{Den: 1}, exact.Fraction{Num: 3, Den: 1}))
	require.InDelta(t, 0.5, *rate(exact.Fraction{Num: 10, Den: 1}, exact.Fraction{Num: 5, Den: 1}), 0)
	require.InDelta(t, 0.9966, *rate(exact.Fraction{Num: 145, Den: 1}, exact.Fraction{Num: 1, Den: 2}), 0,
		"0.99655… is shown with four digits")
	require.InDelta(t, 0, *rate(exact.Fraction{Num: 81, Den: 85}, exact.Fraction{Num: 1, Den: 1}), 0,
		"not below none")
}

func TestChronicFromTheBoundOn(t *testing.T) {
	t.Parallel()
	for _, is := range []struct {
		rules           presence.Rules
		days, absent    exact.Fraction
		chronic, severe bool
	}{
		{presence.Rules{}, exact.Fraction{Num: 180, Den: 1}, exact.Fraction{Num: 18, Den: 1}, true, false},
		{presence.Rules{}, exact.Fraction{Num: 20, Den: 1}, exact.Fraction{Num: 2, Den: 1}, true, false},
		{presence.Rules{}, exact.Fraction{Num: 20, Den: 1}, exact.Fraction{Num: 23, Den: 12}, false, false},
		{presence.Rules{}, exact.Fraction{Num: 10, Den: 1}, exact.Fraction{Num: 1, Den: 1}, true, false},
		{presence.Rules{}, exact.Fraction{Num: 19, Den: 2}, exact.Fraction{Num: 9, Den: 1}, false, false},
		{presence.Rules{}, exact.Fraction{Num: 20, Den: 1}, exact.Fraction{Num: 10, Den: 1}, true, true},
		{
			presence.Rules{Chronic: 20, Severe: 60, MinDays: 5},
			exact.Fraction{Num: 5, Den: 1},
			exact.Fraction{Num: 1, Den: 1},
			true, false,
		},
		{presence.Rules{Chronic: 20}, exact.Fraction{Num: 20, Den: 1}, exact.Fraction{Num: 3, Den: 1}, false, false},
	} {
		r := record(is.days, is.absent)
		require.Equal(t, is.chronic, is.rules.IsChronic(r), "%v of %v", is.absent, is.days)
		require.Equal(t, is.severe, is.rules.IsSevere(r), "%v of %v", is.absent, is.days)
	}
}

func TestTheModeIsGuessedFromTheMarks(t *testing.T) {
	t.Parallel()
	require.Equal(t, presence.ModeAll, presence.GuessMode(0, 0))
	require.Equal(t, presence.ModeAll, presence.GuessMode(20, 100))
	require.Equal(t, presence.ModeExceptions, presence.GuessMode(19, 100))
	require.Equal(t, presence.ModeExceptions, presence.GuessMode(66, 1917))
}

func TestRulesThatCannotHoldAreRefused(t *testing.T) {
	t.Parallel()
	for pointer, r := range map[string]presence.Rules{
		"/a/mode":     {Mode: "some"},
		"/a/chronic":  {Chronic: 101},
		"/a/severe":   {Severe: -1},
		"/a/min_days": {MinDays: 367},
		"/a/day":      {Day: map[string]exact.Fraction{"day": {Num: 1, Den: 1}}},
	} {
		var f domain.Faults
		r.Validate(&f, "/a")
		require.NotEmpty(t, f.List, pointer)
		require.Equal(t, pointer, f.List[0].Pointer)
	}
	odd := presence.Rules{Day: map[string]exact.Fraction{
		"a": {Num: 1, Den: 997}, "b": {Num: 1, Den: 991},
	}}
	var f domain.Faults
	odd.Validate(&f, "/a")
	require.Len(t, f.List, 1, "no common denominator in reach")
	f = domain.Faults{}
	(&presence.Rules{
		Mode: presence.ModeExceptions, Chronic: 15, Severe: 40, MinDays: 20,
		Day: map[string]exact.Fraction{"*": {Num: 1, Den: 7}, "am": {Num: 1, Den: 2}},
	}).Validate(&f, "/a")
	require.Empty(t, f.List)
}
