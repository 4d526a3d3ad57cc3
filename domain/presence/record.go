package presence

import (
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/exact"
)

// Stay is a time during which a student was in a home class.
type Stay struct {
	ClassID  string
	From, To domain.Date // To is the last day; zero while it is open
}

// Mark is a mark of a student.
type Mark struct {
	Date    domain.Date
	ClassID string // the class that the mark names
	Session
}

// Basis is what the numbers of attendance are made with: what the school has decided, its calendar,
// and a window of days, which ends with today at the latest.
type Basis struct {
	Rules
	// Mode is that of the rules, or the guessed one; Guessed says which.
	Mode            string
	Guessed         bool
	Calendar        *calendar.Calendar
	From, To, Today domain.Date
}

// HasRates reports whether there can be rates at all. Where only exceptions are recorded and no
// calendar is set, days without an absence leave no trace.
func (b *Basis) HasRates() bool { return b.Mode != ModeExceptions || !b.Calendar.Derived() }

// Stays cuts stays to the window. A student whom nobody has enrolled is in membership on the days
// with marks, where everybody is marked, and else on none.
func (b *Basis) Stays(stays []Stay, marks []Mark) []Stay {
	var in []Stay
	if stays == nil && b.Mode == ModeAll {
		for i, m := range marks {
			if i == 0 || m.Date != marks[i-1].Date {
				stays = append(stays, Stay{m.ClassID, m.Date, m.Date})
			}
		}
	}
	for _, s := range stays {
		s.From = max(s.From, b.From)
		if s.To.IsZero() || s.To > b.To {
			s.To = b.To
		}
		if s.From <= s.To {
			in = append(in, s)
		}
	}
	return in
}

// Day is what the marks of a day of school amount to.
type Day struct {
	Date     domain.Date
	ClassID  string // in which the student was in membership
	Num, Den int64  // the part of a day that was missed
	Whole    bool   // all of what was school on the day was missed
	Weighed  bool   // false when an absence counts for nothing; see [Rules.Absent]
}

// EachDay calls visit with every day of school in membership that has marks, which are in the order
// of their days. Stays are those of [Basis.Stays].
func (b *Basis) EachDay(stays []Stay, marks []Mark, visit func(Day)) {
	var space [12]Session
	for at := 0; at < len(marks); {
		date, of := marks[at].Date, space[:0]
		for ; at < len(marks) && marks[at].Date == date; at++ {
			of = append(of, marks[at].Session)
		}
		for len(stays) > 0 && stays[0].To < date {
			stays = stays[1:]
		}
		if len(stays) == 0 || date < stays[0].From {
			continue
		}
		weight := b.Calendar.Of(stays[0].ClassID).Weight(date)
		if weight == 0 {
			continue
		}
		part, weighed := b.Absent(b.Mode, of)
		visit(Day{
			Date: date, ClassID: stays[0].ClassID, Num: part.Num * weight, Den: 2 * max(part.Den, 1),
			Whole: part == exact.Whole(), Weighed: weighed,
		})
	}
}

// Record adds up the attendance of a student by stays and marks, which are in the order of their
// days. Days of which all marks are of presence may be left out, unless nobody has enrolled the
// student.
func (b *Basis) Record(stays []Stay, marks []Mark) (r Record) {
	stays = b.Stays(stays, marks)
	for _, s := range stays {
		b.Calendar.Of(s.ClassID).Add(&r.Membership, s.From, s.To, 1)
	}
	b.EachDay(stays, marks, func(d Day) { r.Absent.Add(d.Num, d.Den) })
	return r
}

// Streaks are runs of days of school that a student missed as a whole. Days without school neither
// count nor end a run; nor does a day without a mark where everybody is marked.
type Streaks struct {
	Current int64 `json:"current_streak" doc:"Whole days of absence up to the last day of school: of those, in mode all, on which the student was marked"`
	Longest int64 `json:"longest_streak" doc:"The most whole days of absence one after the other"`
}

// Streaks counts the runs of a student, by all marks.
func (b *Basis) Streaks(stays []Stay, marks []Mark) (s Streaks) {
	last := int64(0) // the number of the last day that counted
	b.EachDay(b.Stays(stays, marks), marks, func(d Day) {
		number := b.Calendar.Of(d.ClassID).Number(d.Date)
		if b.Mode == ModeExceptions && number != last+1 {
			s.Current = 0
		}
		last = number
		if !d.Whole {
			s.Current = 0
			return
		}
		s.Current++
		s.Longest = max(s.Longest, s.Current)
	})
	if b.Mode != ModeExceptions || s.Current == 0 {
		return s
	}
	// Today's absences may not be in yet.
	until := b.To
	if until == b.Today {
		until--
	}
	if stays = b.Stays(stays, marks); len(stays) > 0 {
		stay := stays[len(stays)-1]
		if b.Calendar.Of(stay.ClassID).Number(min(until, stay.To)) > last {
			s.Current = 0
		}
	}
	return s
}
