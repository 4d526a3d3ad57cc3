package attendance

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/presence"
	"github.com/schoolbell/schoolbell/projections/students"
)

// totals are what a class, a day or the school come to.
type totals struct {
	Counts
	presence.Record
}

// measured is the attendance of a window.
type measured struct {
	all      totals
	byDay    []totals // from the first day of the window on
	byClass  map[string]*totals
	students map[string]*pupil
	// marks that count in nothing: on days without school, of days to come, and absences of sessions
	// of which nobody has said what part of a day they are
	uncounted, planned, unweighed int64
}

// pupil is the attendance of a student, and when they were in membership.
type pupil struct {
	presence.Record
	stays []presence.Stay
}

// measure adds up membership and absence of all students, or of those of a class.
func (b *basis) measure(ctx context.Context, tx pgx.Tx, class string) (*measured, error) {
	m := &measured{
		byDay:   make([]totals, max(int(b.To-b.From)+1, 0)),
		byClass: map[string]*totals{}, students: map[string]*pupil{},
	}
	m.count(b)
	isSection, stays := b.isSection(class), b.homes.All()
	if isSection {
		var err error
		if stays, err = students.SectionStays(ctx, tx, b.scope.School, class); err != nil {
			return nil, err
		}
	}
	marks, err := b.marksOf(ctx, tx, class, isSection)
	if err != nil {
		return nil, err
	}
	basis := b.Basis
	if isSection { // its lessons are all of the day that is looked at
		basis.Mode, basis.Day = presence.ModeAll, nil
	}
	enrolled := enrolledCounts{}
	add := func(id string, of []presence.Stay, marks []presence.Mark) {
		if class != "" && !isSection && of != nil {
			of = slices.DeleteFunc(slices.Clone(of),
				func(s presence.Stay) bool { return s.ClassID != class })
		}
		in := basis.Stays(of, marks)
		if len(in) == 0 {
			return
		}
		r := &pupil{stays: in}
		for _, s := range in {
			b.Calendar.Of(s.ClassID).Add(&r.Membership, s.From, s.To, 1)
			enrolled.add(b, s)
		}
		basis.EachDay(in, marks, func(d presence.Day) {
			if !d.Weighed {
				m.unweighed++
			}
			for _, to := range []*presence.Record{
				&r.Record, &m.all.Record, &m.byDay[d.Date-b.From].Record, &m.class(d.ClassID).Record,
			} {
				to.Absent.Add(d.Num, d.Den)
			}
		})
		m.students[id] = r
	}
	for id, of := range stays {
		add(id, of, marks[id])
		delete(marks, id)
	}
	for id, of := range marks { // whom nobody has enrolled, here or at all
		if isSection || b.homes.Stays(id) == nil {
			add(id, nil, of)
		}
	}
	enrolled.spread(b, m)
	return m, nil
}

func (m *measured) class(id string) *totals {
	if m.byClass[id] == nil {
		m.byClass[id] = &totals{}
	}
	return m.byClass[id]
}

// count adds up the marks that count.
func (m *measured) count(b *basis) {
	for i := range b.days {
		d := &b.days[i]
		switch {
		case d.date > b.To:
			m.planned += d.Marks()
		case b.Calendar.Of(d.classID).Weight(d.date) == 0:
			m.uncounted += d.Marks()
		default:
			m.all.plus(d.Counts)
			m.byDay[d.date-b.From].plus(d.Counts)
			m.class(d.classID).plus(d.Counts)
		}
	}
}

// marksOf reads the marks that absence follows from, by student: those of days with an absence, and
// all marks of a section, and of students whom nobody has enrolled.
func (b *basis) marksOf(
	ctx context.Context, tx pgx.Tx, class string, isSection bool,
) (map[string][]presence.Mark, error) {
	marks, unknown := map[string][]presence.Mark{}, map[string]bool{}
	put := func(id string, date domain.Date, k *mark) { marks[id] = append(marks[id], k.on(date)) }
	if b.From > b.To {
		return marks, nil
	}
	if isSection {
		err := eachMark(ctx, tx, withinSQL, b.From, b.To,
			func(id string, date domain.Date, k *mark) {
				if k.class == class {
					put(id, date, k)
				}
			}, b.scope.School, b.From.Month(), b.To.Month())
		return marks, err
	}
	known := b.homes.All()
	err := eachSheet(ctx, tx, awaySQL, func(id string, first domain.Date, s sheet) {
		if known[id] == nil {
			unknown[id] = true
			return
		}
		for i := range s {
			if date := first.AddDays(s[i].day - 1); date >= b.From && date <= b.To {
				put(id, date, &s[i])
			}
		}
	}, b.scope.School, b.From.Month(), b.To.Month())
	if err != nil || len(unknown) == 0 {
		return marks, err
	}
	err = eachMark(ctx, tx, ofStudentsSQL, b.From, b.To,
		func(id string, date domain.Date, k *mark) {
			if class == "" || k.class == class {
				put(id, date, k)
			}
		}, b.scope.School, keys(unknown), b.From.Month(), b.To.Month())
	return marks, err
}

func keys(of map[string]bool) []string {
	ids := make([]string, 0, len(of))
	for id := range of {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// enrolledCounts say how the number of students of a class changes from day to day: it begins to
// count a stay on its first day, and stops on the first day after it.
type enrolledCounts map[string][]int32

func (e enrolledCounts) add(b *basis, s presence.Stay) {
	changes := e[s.ClassID]
	if changes == nil {
		changes = make([]int32, int(b.To-b.From)+2)
		e[s.ClassID] = changes
	}
	changes[s.From-b.From]++
	changes[s.To-b.From+1]--
}

// spread adds the days in membership to each class, each day and the school.
func (e enrolledCounts) spread(b *basis, m *measured) {
	for class, changes := range e {
		of, days, n := m.class(class), b.Calendar.Of(class), int64(0)
		for i := range m.byDay {
			n += int64(changes[i])
			if day := b.From.AddDays(i); n > 0 && days.Weight(day) > 0 {
				days.Add(&m.byDay[i].Membership, day, day, n)
				days.Add(&of.Membership, day, day, n)
			}
		}
		m.all.Membership.Plus(&of.Membership)
	}
}
