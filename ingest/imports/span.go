package imports

import (
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/students"
)

// span is from a day on, to the first day after it; zero is open.
type span struct{ from, to domain.Date }

// settlement is what has to be said about a span of the directory.
type settlement struct {
	begin, end domain.Date // zero: nothing
	over       bool        // the package says that it is over
}

// settle decides what has to be said so that, from today on, the directory has the span that the
// package has. What lies before is left as it is: it was true when it was said, and an end that an
// earlier import made cannot be unmade, only followed by a new beginning.
func settle(want span, have students.Held, stored bool, today domain.Date) settlement {
	empty := want.to == want.from
	over := !want.to.IsZero() && want.to <= today || empty
	switch {
	case !stored && !empty:
		return settlement{begin: want.from, end: want.to, over: over}
	case over && have.Holds:
		end := max(min(want.to, today), have.From)
		if end == have.From && end < today {
			end = end.AddDays(1) // what has never held leaves no trace, and could not begin again
		}
		return settlement{end: end, over: true}
	case over:
		return settlement{over: true}
	case !have.Holds && want.from >= have.To:
		return settlement{begin: want.from, end: want.to}
	case !have.Holds:
		return settlement{begin: max(today, have.To), end: want.to}
	}
	var s settlement
	if have.From > today && want.from < have.From {
		s.begin = max(today, want.from)
	}
	if want.to != have.To {
		s.end = want.to
		if !have.To.IsZero() && (want.to.IsZero() || want.to > have.To) {
			s.begin = have.To
		}
	}
	return s
}

// restated are the days on which a beginning has to be said, from the first on: also those of before
// its end for which something else was said, as an end, or a beginning with other words.
func restated(have students.Held, until domain.Date, first ...domain.Date) (days []domain.Date) {
	for _, day := range first {
		if !day.IsZero() {
			days = append(days, day)
		}
	}
	if len(days) == 0 {
		return nil
	}
	from := slices.Min(days)
	for _, day := range append(have.StartsAfter(from), have.EndsAfter(from)...) {
		if until.IsZero() || day < until {
			days = append(days, day)
		}
	}
	slices.Sort(days)
	return slices.Compact(days)
}
