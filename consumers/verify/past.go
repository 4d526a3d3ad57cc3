package verify

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// past is all that was said of one thing that begins and ends. It is stored whole, and what held on
// a day is read from it; the projections store spans instead.
type past struct {
	said []statement
	// What follows from what was said, until more is said: see read.
	current bool
	all     []stay
	placed  []*statement // the last one about each day that places the thing
}

type statement struct {
	on         domain.Date
	at         time.Time
	source, id string
	begins     bool
	ends       bool
	place      place // unless it ends
}

type place struct {
	class, person, role string
	primary             bool
	classes             []string
}

func (w *statement) later(than *statement) bool {
	return cmp.Or(w.at.Compare(than.at), cmp.Compare(w.source, than.source),
		cmp.Compare(w.id, than.id)) > 0
}

// stay is from a first day to the first one after it, 0 for none.
type stay struct{ from, to domain.Date }

func (p *past) add(w statement) {
	p.said, p.current = append(p.said, w), false
}

// read returns the past with what follows from it. Of a thing of which nothing was said it is empty.
func (p *past) read() *past {
	if p == nil {
		return &past{}
	}
	if !p.current {
		p.all = stays(p.said)
		p.placed = lastStatements(p.said, func(w *statement) bool { return !w.ends })
		p.current = true
	}
	return p
}

// lastStatements returns the last statement about each day among those that decide something.
func lastStatements(said []statement, decides func(*statement) bool) []*statement {
	last := map[domain.Date]*statement{}
	for i := range said {
		w := &said[i]
		if decides(w) && (last[w.on] == nil || w.later(last[w.on])) {
			last[w.on] = w
		}
	}
	return slices.SortedFunc(maps.Values(last), func(a, b *statement) int {
		return cmp.Compare(a.on, b.on)
	})
}

// stays puts the days together on which something began and ended. Several beginnings in a row are
// one; of several ends in a row the one that was said last counts.
func stays(said []statement) (all []stay) {
	words := lastStatements(said, func(w *statement) bool { return w.begins || w.ends })
	for len(words) > 0 {
		begun := words
		for len(words) > 0 && words[0].begins {
			words = words[1:]
		}
		began := len(begun) - len(words)
		var end *statement
		for len(words) > 0 && words[0].ends {
			if end == nil || words[0].later(end) {
				end = words[0]
			}
			words = words[1:]
		}
		if began == 0 {
			continue // an end of what had not begun
		}
		s := stay{from: begun[0].on}
		if end != nil {
			s.to = end.on
		}
		all = append(all, s)
	}
	return all
}

// on returns the last stay that has begun by a day, and whether it still lasts.
func (p *past) on(day domain.Date) (s stay, lasts, begun bool) {
	for _, next := range p.read().all {
		if next.from <= day {
			s, begun = next, true
		}
	}
	return s, begun && (s.to == 0 || s.to > day), begun
}

// placeOn returns where a thing was placed by the last statement up to a day.
func (p *past) placeOn(day domain.Date) (at place) {
	for _, w := range p.read().placed {
		if w.on <= day {
			at = w.place
		}
	}
	return at
}

// ever reports that the thing was in a class on some day.
func (p *past) ever(class string) bool {
	p = p.read()
	for _, s := range p.all {
		if p.placeOn(s.from).class == class {
			return true
		}
		for _, w := range p.placed {
			if w.place.class == class && w.on >= s.from && (s.to == 0 || w.on < s.to) {
				return true
			}
		}
	}
	return false
}

// over reports that something had ended by a day which holds from the beginning of time.
func (p *past) over(day domain.Date) bool {
	always := statement{on: -1, begins: true}
	if p == nil {
		return false
	}
	all := stays(append([]statement{always}, p.said...))
	last := all[len(all)-1]
	return last.to != 0 && last.to <= day
}

// lastDay is after all days.
const lastDay = domain.Date(1 << 30)

// undated is the day of a fact that names none: the earliest on earth at its time.
func undated(t time.Time) domain.Date { return domain.DateOf(t.UTC().Add(-12 * time.Hour)) }

func begin(e *domain.Envelope, on domain.Date, p place) statement {
	return statement{
		on: on, at: e.Time.Truncate(time.Microsecond), source: e.Source, id: e.ID,
		begins: true, place: p,
	}
}

func end(e *domain.Envelope, on domain.Date) statement {
	return statement{
		on: on, at: e.Time.Truncate(time.Microsecond), source: e.Source, id: e.ID, ends: true,
	}
}
