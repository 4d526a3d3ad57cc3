package students

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
)

// drawStatements draws what may be said of one thing within a few days, with times that meet.
func drawStatements(t *rapid.T) []statement {
	all := make([]statement, rapid.IntRange(1, 12).Draw(t, "statements"))
	for i := range all {
		all[i] = statement{
			On:     domain.NewDate(2026, 9, 1+rapid.IntRange(0, 6).Draw(t, "on")),
			At:     int64(rapid.IntRange(0, 3).Draw(t, "at")),
			Source: rapid.SampledFrom([]string{"/a", "/b"}).Draw(t, "source"),
			ID:     fmt.Sprint("e", i),
			Kind:   rapid.SampledFrom([]kind{starts, starts, changes, ends}).Draw(t, "kind"),
		}
		if all[i].placing() {
			all[i].Place.Class = rapid.SampledFrom([]string{"7A", "7B", "7C"}).Draw(t, "class")
		}
	}
	return all
}

func historyOf(statements []statement) history {
	var h history
	for _, s := range statements {
		h = h.with(s)
	}
	return h
}

func TestP8_AnyOrderOfArrivalGivesTheSameSpans(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		statements := drawStatements(t)
		one := historyOf(statements)
		other := historyOf(rapid.Permutation(statements).Draw(t, "order of arrival"))
		require.Equal(t, one, other)
		require.Equal(t, one.spans(), other.spans())
		require.Equal(t, one, historyOf(append(statements, statements...)), "said twice")
	})
}

// firstDay is before all days that tests name, and lastDay after them.
var firstDay, lastDay = domain.NewDate(2026, 8, 31), domain.NewDate(2026, 9, 12)

// asOf is what holds on a day by the definition: no spans, and nothing thrown away. It looks at the
// last word about each day, from the first day to the one asked for.
func asOf(statements []statement, day domain.Date) (class string, holds bool) {
	last := func(on domain.Date, decides func(*statement) bool) *statement {
		var found *statement
		for i := range statements {
			s := &statements[i]
			if s.On == on && decides(s) && (found == nil || s.compare(found) > 0) {
				found = s
			}
		}
		return found
	}
	begun := false
	for on := firstDay; on <= day; on = on.AddDays(1) {
		if s := last(on, (*statement).presence); s != nil {
			begun = s.Kind == starts || begun && s.Kind == ends && !lastsUntil(last, on, day)
		}
		if s := last(on, (*statement).placing); s != nil {
			class = s.Place.Class
		}
	}
	if !begun {
		return "", false
	}
	return class, true
}

// lastsUntil reports that none of the ends from a day on that follow one another, of which the last
// word holds, is later than the day asked for.
func lastsUntil(
	last func(domain.Date, func(*statement) bool) *statement, from, day domain.Date,
) bool {
	first := from
	for ; first > firstDay; first-- {
		if s := last(first-1, (*statement).presence); s != nil && s.Kind == starts {
			break
		}
	}
	var end *statement
	for on := first; on <= lastDay; on++ {
		s := last(on, (*statement).presence)
		if s != nil && s.Kind == starts {
			break
		}
		if s != nil && (end == nil || s.compare(end) > 0) {
			end = s
		}
	}
	return end.On <= day
}

func TestAsOfADateEqualsACalculationDayByDay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		statements := drawStatements(t)
		spans := historyOf(statements).spans()
		for day := firstDay; day < lastDay; day++ {
			i := slices.IndexFunc(spans, func(s span) bool {
				return s.From <= day && (s.To.IsZero() || s.To > day)
			})
			class, holds := asOf(statements, day)
			require.Equal(t, holds, i >= 0, "on %s: %v", day, spans)
			if holds {
				require.Equal(t, class, spans[i].Place.Class, "on %s: %v", day, spans)
			}
		}
	})
}

func TestSpansFollowOneAnother(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		spans := historyOf(drawStatements(t)).spans()
		for i, s := range spans {
			require.True(t, s.To.IsZero() == (i == len(spans)-1 && s.Until.IsZero()) || s.From < s.To)
			require.True(t, s.Since <= s.From && (s.Until.IsZero() || s.To <= s.Until))
			if i == 0 {
				continue
			}
			before := spans[i-1]
			require.LessOrEqual(t, before.To, s.From)
			require.False(t, before.To == s.From && before.Place.Class == s.Place.Class &&
				before.Since == s.Since, "a span without a reason: %v", spans)
		}
	})
}

// A history is one value of a row: it does not grow without end.
func TestAHistoryIsBounded(t *testing.T) {
	t.Parallel()
	var h history
	for i := range maxDays + 5 {
		h = h.with(statement{On: domain.NewDate(2020, 1, 1+i), Kind: starts, ID: fmt.Sprint(i)})
	}
	require.Len(t, h, maxDays)
	again := h.with(statement{On: h[3].On, At: 1, Kind: ends})
	require.Len(t, again, maxDays+1, "what is said of a day that is known is taken")
}

func TestAFactWithoutADayHoldsAtOnceEverywhere(t *testing.T) {
	t.Parallel()
	kiritimati, samoa := time.FixedZone("", 14*3600), time.FixedZone("", -11*3600)
	at := time.Date(2026, 10, 1, 8, 0, 0, 0, time.UTC)
	for _, here := range []*time.Location{kiritimati, time.UTC, samoa} {
		require.LessOrEqual(t, dayOf(at), domain.DateOf(at.In(here)))
		require.Equal(t, dayOf(at), dayOf(at.In(here)), "by the moment, not by its zone")
	}
}
