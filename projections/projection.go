package projections

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/domain"
)

// Projection is a read model as it is declared: a name, a version, its tables and the functions
// that fold events into them. Declare one with [New]; it is immutable and may be shared.
type Projection struct {
	Name    string
	Version int // another number starts a rebuild and retries what is parked
	Tables  []AnyTable
	Reads   []*Projection // folded before, so that their tables may be read

	folds map[reflect.Type][]foldFunc // by the Go type of the event's data
	every []foldFunc
}

type foldFunc func(b *Batch, e *domain.Envelope) error

// Part is something a projection is made of: a table, a fold or a dependency.
type Part interface{ addTo(p *Projection) }

type partFunc func(p *Projection)

func (f partFunc) addTo(p *Projection) { f(p) }

// New declares a projection. Tables and folds are given as parts.
func New(name string, version int, parts ...Part) *Projection {
	p := &Projection{Name: name, Version: version, folds: map[reflect.Type][]foldFunc{}}
	for _, part := range parts {
		part.addTo(p)
	}
	return p
}

// On declares the fold of one event type. It must be a function of the event and of the rows it
// reads through b: no clock, no randomness, no I/O. An error parks the event together with the
// later ones of its subject; all it has written is undone.
func On[E any, P interface {
	*E
	domain.Event
}](fold func(b *Batch, e *domain.Envelope, m *E) error) Part {
	return partFunc(func(p *Projection) {
		t := reflect.TypeFor[P]()
		p.folds[t] = append(p.folds[t], func(b *Batch, e *domain.Envelope) error {
			return fold(b, e, (*E)(e.Data.(P)))
		})
	})
}

// OnEvery declares a fold that is run with every event, after the folds of its type.
func OnEvery(fold func(b *Batch, e *domain.Envelope) error) Part {
	return partFunc(func(p *Projection) { p.every = append(p.every, fold) })
}

// Reads declares that the folds read tables of other projections. They see them as they are after
// the same event.
func Reads(others ...*Projection) Part {
	return partFunc(func(p *Projection) { p.Reads = append(p.Reads, others...) })
}

// Set is the projections that one consumer moves together, in the order in which they fold an
// event.
type Set struct {
	projections  []*Projection
	tables       []AnyTable
	projectionOf []int // by table: the index of its projection
	folds        map[reflect.Type][]setFold
	every        []setFold
}

type setFold struct {
	projection int
	fold       foldFunc
}

// NewSet checks that the projections can work together: unique names and tables, dependencies
// before dependants.
func NewSet(projections ...*Projection) (*Set, error) {
	if len(projections) == 0 {
		return nil, errors.New("a set holds at least one projection")
	}
	s := &Set{projections: projections, folds: map[reflect.Type][]setFold{}}
	names, tables, position := map[string]bool{}, map[string]bool{}, map[*Projection]bool{}
	for i, p := range projections {
		if names[p.Name] {
			return nil, fmt.Errorf("projection %q is in the set twice", p.Name)
		}
		names[p.Name] = true
		for _, dep := range p.Reads {
			if !position[dep] {
				return nil, fmt.Errorf("projection %q reads %q, which must stand before it", p.Name,
					dep.Name)
			}
		}
		position[p] = true
		for _, t := range p.Tables {
			if tables[t.Schema().Name] {
				return nil, fmt.Errorf("table %q belongs to two projections", t.Schema().Name)
			}
			tables[t.Schema().Name] = true
			s.tables = append(s.tables, t)
			s.projectionOf = append(s.projectionOf, i)
		}
		for t, folds := range p.folds {
			for _, f := range folds {
				s.folds[t] = append(s.folds[t], setFold{i, f})
			}
		}
		for _, f := range p.every {
			s.every = append(s.every, setFold{i, f})
		}
	}
	return s, nil
}

// Closure returns what it takes to rebuild the tables of some projections, or of all when none is
// named: rebuilt holds them and those that read them, whose tables follow from theirs; folded also
// holds what all of those read.
func (s *Set) Closure(names ...string) (rebuilt []*Projection, folded *Set, err error) {
	if len(names) == 0 {
		return s.projections, s, nil
	}
	isRebuilt, isFolded := map[*Projection]bool{}, map[*Projection]bool{}
	for _, name := range names {
		i := slices.IndexFunc(s.projections, func(p *Projection) bool { return p.Name == name })
		if i < 0 {
			return nil, nil, fmt.Errorf("there is no projection %q", name)
		}
		isRebuilt[s.projections[i]] = true
	}
	for _, p := range s.projections { // what is read stands before
		if slices.ContainsFunc(p.Reads, func(dep *Projection) bool { return isRebuilt[dep] }) {
			isRebuilt[p] = true
		}
	}
	for _, p := range slices.Backward(s.projections) {
		if isRebuilt[p] || isFolded[p] {
			isFolded[p] = true
			for _, dep := range p.Reads {
				isFolded[dep] = true
			}
		}
	}
	var members []*Projection
	for _, p := range s.projections {
		if isRebuilt[p] {
			rebuilt = append(rebuilt, p)
		}
		if isFolded[p] {
			members = append(members, p)
		}
	}
	folded, err = NewSet(members...)
	return rebuilt, folded, err
}

// PanicError is the error of a fold that panicked.
type PanicError struct {
	Value any
	Stack []byte // for the log
}

func (e *PanicError) Error() string { return fmt.Sprintf("fold panicked: %v", e.Value) }

func recoverFold(err *error) {
	if p := recover(); p != nil {
		*err = &PanicError{Value: p, Stack: debug.Stack()}
	}
}

func (s *Set) foldError(f setFold, err error) error {
	return fmt.Errorf("projection %s: %w", s.projections[f.projection].Name, err)
}

// Version names the set's projections with their versions. It changes when a fold does.
func (s *Set) Version() string {
	var b strings.Builder
	for _, p := range s.projections {
		fmt.Fprintf(&b, "%s.%d ", p.Name, p.Version)
	}
	return strings.TrimSuffix(b.String(), " ")
}

// Projections returns the set's members in folding order.
func (s *Set) Projections() []*Projection { return s.projections }

// Tables returns the tables of all members.
func (s *Set) Tables() []AnyTable { return s.tables }

// Folds reports whether a fold of the set takes events whose data is of a type.
func (s *Set) Folds(data reflect.Type) bool { return len(s.folds[data])+len(s.every) > 0 }
