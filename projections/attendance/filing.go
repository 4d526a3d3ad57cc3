package attendance

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// filing says for which class a mark counts. The fold counts it for the class that the event names,
// which is what happened; but the numbers of a school are by home class, also where a period's
// register is that of a section. Which home class that is may become known, or be corrected, after
// the mark: so it is decided when the answer is made.
type filing struct {
	first, last domain.Date     // the days of the request on which marks may count; none without marks
	sections    map[string]bool // those that have marks then
	homes       students.Homes
}

// daysSQL finds on which days classes have marks, so that not all months of the school are read.
const daysSQL read.SQL = `-- attendance.class_days
SELECT id, first, last FROM unnest($2::text[]) id CROSS JOIN LATERAL (
	SELECT min(date) AS first, max(date) AS last FROM attendance_days
	WHERE school = $1 AND class_id = id AND date BETWEEN $3 AND $4) days
WHERE first IS NOT NULL`

// fileMarks returns the filing of a request. It reads neither the homes nor, later, the sheets for
// a request that is about a section, or where no section has marks.
func fileMarks(ctx context.Context, tx pgx.Tx, school string, in *input) (*filing, error) {
	f := &filing{sections: map[string]bool{}}
	from, to := read.Range(in.From.Date, in.To.Date)
	classes, err := students.Sections(ctx, tx, school)
	switch {
	case err != nil:
		return nil, err
	case slices.Contains(classes, in.Class):
		classes = []string{in.Class}
	case in.Class != "":
		classes = append(classes, in.Class)
	}
	type days struct {
		classID     string
		first, last domain.Date
	}
	marked, err := read.All(ctx, tx, daysSQL,
		func(d *days) []any { return []any{&d.classID, &d.first, &d.last} },
		school, classes, from, to)
	if err != nil {
		return nil, err
	}
	for _, d := range marked {
		if d.classID != in.Class {
			f.sections[d.classID] = true
		}
		if f.first.IsZero() || d.first < f.first {
			f.first = d.first
		}
		f.last = max(f.last, d.last)
	}
	if in.Class == "" {
		f.first, f.last = from, to
	}
	if len(f.sections) > 0 {
		f.homes, err = students.AllHomes(ctx, tx, school)
	}
	return f, err
}

// classOf returns the class for which a mark counts: of a section the student's home class on the
// day, and the section itself for a student whom the directory does not know.
func (f *filing) classOf(studentID string, date domain.Date, m *mark) string {
	if f.sections[m.class] {
		if home := f.homes.On(studentID, date); home != "" {
			return home
		}
	}
	return m.class
}

// apply moves the marks of sections, in a report of the classes that facts name, to home classes.
func (f *filing) apply(
	ctx context.Context, tx pgx.Tx, school string, in *input, a *Report,
) error {
	if len(f.sections) == 0 {
		return nil
	}
	days, classes := map[domain.Date]*Counts{}, map[string]*Counts{}
	for i := range a.ByDay {
		days[a.ByDay[i].Date] = &a.ByDay[i].Counts
	}
	for i := range a.ByClass {
		classes[a.ByClass[i].ClassID] = &a.ByClass[i].Counts
	}
	err := eachMark(ctx, tx, withinSQL, f.first, f.last,
		func(studentID string, date domain.Date, m *mark) {
			switch home := f.classOf(studentID, date, m); {
			case home == m.class:
			case in.Class == "":
				countsOf(classes, m.class).add(m.status, -1)
				countsOf(classes, home).add(m.status, +1)
			case home == in.Class:
				countsOf(days, date).add(m.status, +1)
				countsOf(classes, home).add(m.status, +1)
			}
		}, school, f.first.Month(), f.last.Month())
	byDay, byClass := []Day{}, []Class{}
	for _, date := range slices.Sorted(maps.Keys(days)) {
		byDay = append(byDay, Day{Date: date, Counts: *days[date]})
	}
	for _, id := range slices.Sorted(maps.Keys(classes)) {
		if *classes[id] != (Counts{}) { // all marks of the section have moved
			byClass = append(byClass, Class{ClassID: id, Counts: *classes[id]})
		}
	}
	a.ByDay, a.ByClass = byDay, byClass
	return err
}

func countsOf[K comparable](all map[K]*Counts, key K) *Counts {
	if all[key] == nil {
		all[key] = &Counts{}
	}
	return all[key]
}
