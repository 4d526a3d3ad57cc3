// Package presence is the arithmetic of attendance: what part of a day a student missed, of how many
// days in membership, and what follows from that. It knows the marks of one context and the calendar
// of another, and is the one place where the numbers of queries, messages and documents are defined:
// docs/NUMBERS.md.
package presence

import (
	"maps"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/exact"
)

// Rules are what a school has decided about the numbers of attendance. The zero value is for a
// school that has decided nothing.
type Rules struct {
	Mode    string                    `json:"mode,omitzero" enum:"all,exceptions" doc:"Whether everybody is marked, or only who is absent or late. Unset it is guessed from the marks, and no message follows from it"`
	Day     map[string]exact.Fraction `json:"day,omitempty" doc:"What part of a day a session is, for example 1/6. A mark of the session day is the whole day's; am and pm are halves, unless this says otherwise; * is each session that this does not name. Without it they are equal parts of what is left of the day, in mode all, and count in no rate in mode exceptions"`
	Chronic int64                     `json:"chronic,omitzero" doc:"From how many percent of the days in membership on absence is chronic; 0 means 10"`
	Severe  int64                     `json:"severe,omitzero" doc:"From how many percent on it is severe; 0 means 50"`
	MinDays int64                     `json:"min_days,omitzero" doc:"From how many days in membership on absence can be chronic; 0 means 10"`
}

// The modes of recording.
const (
	ModeAll        = "all"        // everybody is marked
	ModeExceptions = "exceptions" // no mark on an instructional day means present
)

// What holds where a school has not decided it.
const (
	defaultChronic = 10
	defaultSevere  = 50
	defaultMinDays = 10
)

// WholeDay is the session of a mark that is about all of a day.
const WholeDay = "day"

// otherSessions stands for every session that a table does not name.
const otherSessions = "*"

var halfDay = exact.Fraction{Num: 1, Den: 2}

// Limits of a table of sessions.
const (
	maxSessions = 50
	maxCommon   = 10_000 // common denominator
)

// Validate reports what is wrong with the rules, which are at a pointer.
func (r *Rules) Validate(f *domain.Faults, at string) {
	if r.Mode != "" {
		f.OneOf(at+"/mode", r.Mode, ModeAll, ModeExceptions)
	}
	percent := func(name string, v int64) {
		if v < 0 || v > 100 {
			f.Add(at+name, "must be between 0 and 100")
		}
	}
	percent("/chronic", r.Chronic)
	percent("/severe", r.Severe)
	if r.MinDays < 0 || r.MinDays > 366 {
		f.Add(at+"/min_days", "must be between 0 and 366")
	}
	if len(r.Day) > maxSessions {
		f.Add(at+"/day", "has more than %d sessions", maxSessions)
		return
	}
	common := int64(1)
	for _, session := range slices.Sorted(maps.Keys(r.Day)) {
		if session == WholeDay {
			f.Add(at+"/day", "must not say what part of a day the session %s is", WholeDay)
		}
		f.ID(at+"/day", session)
		if common = leastCommon(common, max(r.Day[session].Den, 1)); common > maxCommon {
			f.Add(at+"/day", "must have parts with a common denominator of at most %d", maxCommon)
			return
		}
	}
}

func leastCommon(a, b int64) int64 { return a / greatestCommon(a, b) * b }

func greatestCommon(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func or(v, fallback int64) int64 {
	if v == 0 {
		return fallback
	}
	return v
}

// GuessMode is the mode of a school that has not said it, by the marks of its year: exceptions when
// fewer than one in five says that somebody was there.
func GuessMode(there, marks int64) string {
	if 5*there < marks {
		return ModeExceptions
	}
	return ModeAll
}

// Session is a mark of a session of a day.
type Session struct{ Session, Status string }

// IsAbsent reports whether a status is an absence.
func IsAbsent(status string) bool {
	return status == attendance.AbsentExcused || status == attendance.AbsentUnexcused
}

// Absent is what part of a day a student was absent, by all marks of the day. Weighed is false when
// an absence counts for nothing, as nobody has said what part of the day its session is.
func (r *Rules) Absent(mode string, of []Session) (part exact.Fraction, weighed bool) {
	var marked exact.Fraction // by sessions with a part of their own
	var others, otherAbsent int64
	for _, s := range of {
		if s.Session == WholeDay {
			if IsAbsent(s.Status) {
				return exact.Whole(), true
			}
			return exact.Fraction{}, true
		}
		share, ok := r.share(s.Session)
		switch {
		case ok:
			marked = plus(marked, share)
			if IsAbsent(s.Status) {
				part = plus(part, share)
			}
		default:
			others++
			if IsAbsent(s.Status) {
				otherAbsent++
			}
		}
	}
	if otherAbsent > 0 && mode == ModeAll && marked.Num < max(marked.Den, 1) {
		rest := plus(exact.Whole(), exact.Fraction{Num: -marked.Num, Den: max(marked.Den, 1)})
		part = plus(part, exact.Fraction{Num: rest.Num * otherAbsent, Den: rest.Den * others})
	}
	if part.Num > part.Den {
		part = exact.Whole()
	}
	return part, otherAbsent == 0 || mode == ModeAll
}

// share is what part of a day a session is, where somebody has said it.
func (r *Rules) share(session string) (exact.Fraction, bool) {
	if f, ok := r.Day[session]; ok {
		return f, true
	}
	if session == "am" || session == "pm" {
		return halfDay, true
	}
	f, ok := r.Day[otherSessions]
	return f, ok
}

func plus(a, b exact.Fraction) exact.Fraction {
	a.Den, b.Den = max(a.Den, 1), max(b.Den, 1)
	n, d := a.Num*b.Den+b.Num*a.Den, a.Den*b.Den
	if g := greatestCommon(max(n, -n), d); g > 1 {
		n, d = n/g, d/g
	}
	return exact.Fraction{Num: n, Den: d}
}

// Record is the attendance of a student, or of all students of a class, school or day: the days in
// membership, and those of absence among them.
type Record struct {
	Membership, Absent exact.Sum
}

// Rate is (membership − days absent) / membership, to four digits; nil without a day in membership.
// It is 0 when more days of absence are recorded than there are days in membership, as can be where
// a school says how many days a term has and fewer than the calendar shows.
func (r *Record) Rate() *float64 {
	of := r.Membership.Rat()
	if of.Sign() <= 0 {
		return nil
	}
	there := of.Sub(of, r.Absent.Rat())
	if there.Sign() < 0 {
		there.SetInt64(0)
	}
	rate := exact.Round(there.Quo(there, r.Membership.Rat()), rateDigits)
	return &rate
}

const rateDigits = 4

// IsChronic reports that a student is absent too often: from a share of the days in membership on,
// which is included, once there are enough of them.
func (r *Rules) IsChronic(of *Record) bool { return r.reaches(of, or(r.Chronic, defaultChronic)) }

// IsSevere is the same for the higher share.
func (r *Rules) IsSevere(of *Record) bool { return r.reaches(of, or(r.Severe, defaultSevere)) }

func (r *Rules) reaches(of *Record, percent int64) bool {
	var enough exact.Sum
	enough.Add(or(r.MinDays, defaultMinDays), 1)
	return exact.Compare(1, &of.Membership, 1, &enough) >= 0 &&
		exact.Compare(100, &of.Absent, percent, &of.Membership) >= 0
}
