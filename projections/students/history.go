package students

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
)

// history is what dated facts said about one thing, as an enrolment or a link, sorted by day. What
// holds from when to when follows from it alone, so that any order of arrival gives the same spans.
// Of facts about the same day only the last word is kept: by the time of the event, and where that
// is equal by source and id.
type history []statement

// statement is what one fact said: what holds from its day on.
type statement struct {
	On     domain.Date `json:"on"`
	At     int64       `json:"at"` // the event's time in microseconds
	Source string      `json:"source"`
	ID     string      `json:"id"`
	Kind   kind        `json:"kind"`
	Place  place       `json:"place,omitzero"` // of starts and changes
}

// kind is what a statement says. The words are stored.
type kind string

const (
	starts  kind = "start"
	changes kind = "change" // of the place of what has started, and nothing before it has
	ends    kind = "end"
)

// place is what holds during a span; which of the fields mean something depends on the thing.
type place struct {
	Class   string   `json:"class,omitzero"`
	Person  string   `json:"person,omitzero"`
	Role    string   `json:"role,omitzero"` // of a member, or the relation of a guardian
	Primary bool     `json:"primary,omitzero"`
	Classes []string `json:"classes,omitzero"`
}

// span is a time during which one place held.
type span struct {
	From, To     domain.Date // To is the first day after it; zero while it is open
	Since, Until domain.Date // the same, of all spans that follow one another without a gap
	Place        place
	Source       string // of the last word that gave the place
}

// dayOf returns the day from which on a fact without a day of its own holds. It must hold at once
// wherever the school is, as an unlinked guardian does: so it is the day of the place on earth that
// has the earliest.
func dayOf(t time.Time) domain.Date { return domain.DateOf(t.UTC().Add(-12 * time.Hour)) }

// said makes the statement of an event.
func said(e *domain.Envelope, k kind, on domain.Date, p place) statement {
	return statement{
		On: on, At: e.Time.UnixMicro(), Source: e.Source, ID: e.ID, Kind: k, Place: p,
	}
}

// compare orders statements about the same day: the last one holds.
func (s *statement) compare(o *statement) int {
	return cmp.Or(cmp.Compare(s.At, o.At), cmp.Compare(s.Source, o.Source), cmp.Compare(s.ID, o.ID))
}

// overruled reports that a later statement about the same day decides the same thing.
func (h history) overruled(i int, decides func(*statement) bool) bool {
	return i+1 < len(h) && h[i+1].On == h[i].On && decides(&h[i+1])
}

// presence and placing are the two things that a statement may decide about its day. A start
// decides both: whoever is enrolled and moves on the same day has both been enrolled and moved.
func (s *statement) presence() bool { return s.Kind != changes }
func (s *statement) placing() bool  { return s.Kind != ends }

// maxDays bounds a history, which is one value in a row. No school says so much of one student;
// what comes after it is not taken.
const maxDays = 500

// with returns the history with one more statement. The receiver stays as it is: rows share it.
func (h history) with(s statement) history {
	from, found := slices.BinarySearchFunc(h, s.On, func(o statement, on domain.Date) int {
		return cmp.Compare(o.On, on)
	})
	if !found && len(h) >= maxDays {
		return h
	}
	to := from
	for to < len(h) && h[to].On == s.On {
		to++
	}
	day := append(slices.Clone(h[from:to]), s)
	slices.SortStableFunc(day, func(a, b statement) int { return a.compare(&b) })
	last := func(decides func(*statement) bool) int {
		for i := range slices.Backward(day) {
			if decides(&day[i]) {
				return i
			}
		}
		return -1
	}
	present, placed := last((*statement).presence), last((*statement).placing)
	kept := slices.Clone(h[:from])
	for i := range day {
		if i == present || i == placed {
			kept = append(kept, day[i])
		}
	}
	return append(kept, h[to:]...)
}

// stays returns the times between a start and an end, without their places.
func (h history) stays() (all []span) {
	var end *statement
	for i := range h {
		s := &h[i]
		switch {
		case h.overruled(i, (*statement).presence):
		case s.Kind == starts && (len(all) == 0 || end != nil):
			all, end = append(all, span{From: s.On}), nil
		// Of ends that follow one another the last word holds: it corrects the others.
		case s.Kind == ends && len(all) > 0 && (end == nil || s.compare(end) > 0):
			all[len(all)-1].To, end = s.On, s
		}
	}
	return all
}

// spans returns what held from when to when, in order.
func (h history) spans() (all []span) {
	for _, stay := range h.stays() {
		now := span{From: stay.From, Since: stay.From, Until: stay.To}
		var word *statement // that gave the place last, whatever its day
		for i := range h {
			s := &h[i]
			if !s.placing() || h.overruled(i, (*statement).placing) ||
				!stay.To.IsZero() && s.On >= stay.To {
				continue
			}
			same := reflect.DeepEqual(s.Place, now.Place)
			if s.On > now.From && !same {
				now.To = s.On
				all = append(all, now)
				now.From, now.To = s.On, 0
			}
			if word == nil || !same || s.compare(word) > 0 {
				now.Place, now.Source, word = s.Place, s.Source, s
			}
		}
		now.To = stay.To
		all = append(all, now)
	}
	return all
}

// endedOn returns the day from which on something is over that held before anything was said of it;
// zero when it holds. Starting it again after that day begins it again, as if it had never ended.
func (h history) endedOn() domain.Date {
	before := statement{On: 1, Kind: starts}
	stays := append(history{before}, h...).stays()
	return stays[len(stays)-1].To
}

// The things that have a history.
const (
	ofStudent    = "student"
	ofLink       = "link"
	ofStaff      = "staff"
	ofClass      = "class"
	ofMembership = "membership"
)

type historyKey struct {
	School string `db:"school"`
	Kind   string `db:"kind"`
	ID     string `db:"id"`
	Other  string `db:"other"` // the guardian of a link
}

type historyRow struct {
	Statements history `db:"statements"`
}

var histories = projections.NewTable[historyKey, historyRow]("directory_history")

// record adds a statement to the history of a thing, and returns the history before and after.
func record(b *projections.Batch, key historyKey, s statement) (before, after history) {
	row, _ := histories.Get(b, key)
	after = row.Statements.with(s)
	histories.Put(b, key, historyRow{after})
	return row.Statements, after
}

// rewrite brings the rows of the spans of a thing from what followed from its history before to
// what follows after: only those that differ are written.
func rewrite[K comparable, R any](
	b *projections.Batch, table *projections.Table[K, R], before, after history,
	key func(from domain.Date) K, row func(*span) R,
) {
	old := map[domain.Date]span{}
	for _, s := range before.spans() {
		old[s.From] = s
	}
	for _, s := range after.spans() {
		if was, ok := old[s.From]; !ok || !reflect.DeepEqual(was, s) {
			table.Put(b, key(s.From), row(&s))
		}
		delete(old, s.From)
	}
	for from := range old {
		table.Delete(b, key(from))
	}
}
