package fees

import (
	"cmp"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// Stamp is when something was said: by the event's time, and by its place in the log.
type Stamp struct {
	Position int64     `json:"position"`
	Time     time.Time `json:"time"`
}

// stampOf has the precision of the tables, so that it is the same after a row has been read again.
func stampOf(e *domain.Envelope) Stamp {
	return Stamp{e.Position.Offset, e.Time.UTC().Truncate(time.Microsecond)}
}

func (s Stamp) compare(other Stamp) int {
	return cmp.Or(s.Time.Compare(other.Time), cmp.Compare(s.Position, other.Position))
}

// Version is one of the contents that an id came with.
type Version[T comparable] struct {
	Said    Stamp     `json:"said"`  // by the first event in the log: another with the same content changes nothing
	Since   time.Time `json:"since"` // the earliest time of such an event
	Last    Stamp     `json:"last"`  // the latest event, which decides between several contents
	Content T         `json:"content"`
}

// Versions are all contents that an id came with, the one that holds last. They depend on the events
// alone and not on the order in which these are folded.
type Versions[T comparable] []Version[T]

func (v Versions[T]) with(s Stamp, content T) Versions[T] {
	v = append(make(Versions[T], 0, len(v)+1), v...)
	i := slices.IndexFunc(v, func(a Version[T]) bool { return a.Content == content })
	if i < 0 {
		v = append(v, Version[T]{s, s.Time, s, content})
	} else {
		if s.Position < v[i].Said.Position {
			v[i].Said = s
		}
		if s.Time.Before(v[i].Since) {
			v[i].Since = s.Time
		}
		if s.compare(v[i].Last) > 0 {
			v[i].Last = s
		}
	}
	slices.SortFunc(v, func(a, b Version[T]) int { return a.Last.compare(b.Last) })
	return v
}

// Current is the one that holds; the zero value when nothing was said.
func (v Versions[T]) Current() (last Version[T]) {
	if len(v) > 0 {
		last = v[len(v)-1]
	}
	return last
}

// stamp orders it among what is said about other ids.
func (v Version[T]) stamp() Stamp { return Stamp{v.Said.Position, v.Since} }

// SaidAt returns the version that an event at a position said first.
func (v Versions[T]) SaidAt(position int64) (Version[T], bool) {
	i := slices.IndexFunc(v, func(a Version[T]) bool { return a.Said.Position == position })
	if i < 0 {
		return Version[T]{}, false
	}
	return v[i], true
}

// superseded are those that do not hold.
func (v Versions[T]) superseded() Versions[T] { return v[:max(len(v)-1, 0)] }

// before leaves out what was said first at a moment or later.
func (v Versions[T]) before(moment time.Time) Versions[T] {
	return slices.DeleteFunc(slices.Clone(v),
		func(a Version[T]) bool { return !a.Since.Before(moment) })
}
