package performance

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/marks"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// The sheets say for which class a score was entered, which is what happened. Averages and ranks of
// classes are by home class, also where a score is of a section: for which home class each of those
// counts is decided here, so that a move that is recorded late moves them too.

// place is where scores count: a subject in a class in a term.
type place struct {
	year, term domain.Label
	class      string
	subject    string
}

// selection is which scores to read. What is zero selects all.
type selection struct {
	years    []domain.Label // as the school writes them
	term     domain.Label
	class    string
	subject  string
	students []string
}

// conditions are those of the selection but for the class, and their parameters.
func (s *selection) conditions(args ...any) ([]string, []any) {
	var conditions []string
	add := func(wanted bool, condition string, value any) {
		if wanted {
			args = append(args, value)
			conditions = append(conditions, fmt.Sprintf(condition, len(args)))
		}
	}
	add(s.years != nil, "year = ANY($%d)", s.years)
	add(s.term != "", "term = $%d", s.term)
	add(s.subject != "", "subject = $%d", s.subject)
	add(s.students != nil, "student_id = ANY($%d)", s.students)
	return conditions, args
}

const sheetsSQL read.SQL = `-- performance.sheets
SELECT year, term, class_id, subject, student_id, entries FROM performance_sheets
WHERE school = $1 /*where*/
ORDER BY year, term, class_id, subject, student_id`

// sectionSheetsSQL reads what the students of a home class have in sections.
const sectionSheetsSQL read.SQL = `-- performance.section_sheets
SELECT year, term, class_id, subject, student_id, entries FROM performance_sheets
WHERE school = $1 AND class_id = ANY($3) AND student_id IN (
	SELECT student_id FROM once_in_home($1, $2)) /*where*/
ORDER BY year, term, class_id, subject, student_id`

// sheet is a row of the sheets.
type sheet struct {
	place
	student string
	entries string
}

func (s *sheet) addresses() []any {
	return []any{&s.year, &s.term, &s.class, &s.subject, &s.student, &s.entries}
}

// mark is what a student has in an assessment, and where it counts. It is valid during a visit.
type mark struct {
	place
	student string
	kind    marks.Kind
	*entry
}

// eachMark visits the marks of a selection, those of a place and a student one after the other as far
// as they were entered there.
func eachMark(
	ctx context.Context, tx pgx.Tx, school string, of *selection, visit func(*mark),
) error {
	f, err := newFiling(ctx, tx, school)
	if err != nil {
		return err
	}
	conditions, args := of.conditions(school)
	if of.class != "" {
		args = append(args, of.class)
		conditions = append(conditions, fmt.Sprintf("class_id = $%d", len(args)))
	}
	all, err := read.All(ctx, tx, sheetsSQL.With(conditions...), (*sheet).addresses, args...)
	if err == nil && of.class != "" && len(f.sections) > 0 && !f.isSection(of.class) {
		conditions, args = of.conditions(school, of.class, f.sections)
		var more []sheet
		more, err = read.All(ctx, tx, sectionSheetsSQL.With(conditions...), (*sheet).addresses, args...)
		all = append(all, more...)
	}
	if err == nil {
		err = f.readHomes(ctx, tx, school, all)
	}
	if err == nil {
		f.visit(all, of.class, visit)
	}
	return err
}

// filing decides where scores count, and of what kind they are.
type filing struct {
	sections    []string // sorted
	assessments map[string]announced
	homes       students.Homes
}

// announced is what an assessment says of its scores.
type announced struct {
	kind   marks.Kind
	heldOn domain.Date
}

// newFiling reads the sections and the kinds of assessments.
func newFiling(ctx context.Context, tx pgx.Tx, school string) (f filing, err error) {
	if f.sections, err = students.Sections(ctx, tx, school); err == nil {
		slices.Sort(f.sections)
		err = f.readAssessments(ctx, tx, school, ofSomeKind)
	}
	return f, err
}

const assessmentsSQL read.SQL = `-- performance.kinds
SELECT assessment_id, scale, category, weight, held_on FROM assessments WHERE school = $1 /*where*/`

const ofSomeKind = "(scale <> '' OR category <> '' OR weight <> 0)"

func (f *filing) readAssessments(
	ctx context.Context, tx pgx.Tx, school, condition string,
) error {
	type row struct {
		id, scale, category string
		weight              domain.Decimal
		heldOn              domain.Date
	}
	f.assessments = map[string]announced{}
	return read.Each(ctx, tx, assessmentsSQL.With(condition), func(r *row) []any {
		return []any{&r.id, &r.scale, &r.category, &r.weight, &r.heldOn}
	}, func(r row) {
		f.assessments[r.id] = announced{marks.Kind{Scale: r.scale, Category: r.category, Weight: r.weight}, r.heldOn}
	}, school)
}

// readHomes reads what tells home classes, if there are scores of sections: it is much.
func (f *filing) readHomes(
	ctx context.Context, tx pgx.Tx, school string, all ...[]sheet,
) (err error) {
	if !slices.ContainsFunc(all, func(some []sheet) bool {
		return slices.ContainsFunc(some, func(s sheet) bool { return f.isSection(s.class) })
	}) {
		return nil
	}
	if err = f.readAssessments(ctx, tx, school, ""); err == nil {
		f.homes, err = students.AllHomes(ctx, tx, school)
	}
	return err
}

func (f *filing) isSection(class string) bool {
	_, found := slices.BinarySearch(f.sections, class)
	return found
}

// visit visits the marks of sheets that count for a class, or for any.
func (f *filing) visit(all []sheet, class string, visit func(*mark)) {
	m := mark{entry: &entry{}}
	for i := range all {
		s := &all[i]
		m.place, m.student = s.place, s.student
		moves := f.isSection(s.class) && s.class != class
		for rest := s.entries; rest != ""; {
			rest = m.read(rest)
			if moves {
				m.class = f.home(&m, s.class)
				if class != "" && m.class != class {
					continue
				}
			}
			m.kind = f.kindOf(m.entry)
			visit(&m)
		}
	}
}

// kindOf returns the kind of a score.
func (f *filing) kindOf(e *entry) marks.Kind {
	return e.kind().Or(f.assessments[e.assessmentID].kind)
}

// home returns the home class for which a score of a section counts: the student's on the day of the
// assessment or, where it was not announced, on the day on which it was entered. A student whom the
// directory does not have stays with the section.
func (f *filing) home(m *mark, section string) string {
	day := m.day
	if a, ok := f.assessments[m.assessmentID]; ok {
		day = a.heldOn
	}
	if home := f.homes.On(m.student, day); home != "" {
		return home
	}
	return section
}

// yearsSQL finds the years of a school by looking up the next one after each.
const yearsSQL read.SQL = `-- performance.years
WITH RECURSIVE years AS (
	(SELECT year FROM performance_sheets WHERE school = $1 ORDER BY year LIMIT 1)
	UNION ALL
	SELECT (SELECT s.year FROM performance_sheets s WHERE s.school = $1 AND s.year > y.year
		ORDER BY s.year LIMIT 1)
	FROM years y WHERE y.year IS NOT NULL
)
SELECT year FROM years WHERE year IS NOT NULL`

// years are the labels under which a school has scores, by the school year that they name.
type years map[domain.SchoolYear][]domain.Label

func readYears(ctx context.Context, tx pgx.Tx, school string) (years, error) {
	labels, err := read.All(ctx, tx, yearsSQL, func(l *domain.Label) []any { return []any{l} }, school)
	all := years{}
	for _, l := range labels {
		year := domain.YearOf(l)
		all[year] = append(all[year], l)
	}
	return all, err
}

// labels returns how the school writes a year.
func (y years) labels(year domain.SchoolYear) []domain.Label {
	if found := y[year]; found != nil {
		return found
	}
	return []domain.Label{}
}

// name returns how a year is shown: the longest of its labels, which says the most.
func (y years) name(label domain.Label) domain.Label {
	name := label
	for _, l := range y[domain.YearOf(label)] {
		if len(l) > len(name) {
			name = l
		}
	}
	return name
}

// latest returns the labels of the latest year; none without scores.
func (y years) latest() []domain.Label {
	var latest domain.SchoolYear
	found := []domain.Label{}
	for year, labels := range y {
		if len(found) == 0 || year.Compare(latest) > 0 {
			latest, found = year, labels
		}
	}
	return found
}

const publishedSQL read.SQL = `-- performance.published
SELECT class_id, year, term FROM results_published WHERE school = $1 /*where*/`

// termOf is a term of a class, by its school year.
type termOf struct {
	class string
	year  domain.SchoolYear
	term  domain.Label
}

// publishedTerms returns the terms whose results are published to a class, or to any.
func publishedTerms(
	ctx context.Context, tx pgx.Tx, school, class string,
) (map[termOf]bool, error) {
	type row struct {
		class      string
		year, term domain.Label
	}
	args, condition := []any{school}, ""
	if class != "" {
		args, condition = append(args, class), "class_id = $2"
	}
	all := map[termOf]bool{}
	err := read.Each(ctx, tx, publishedSQL.With(condition),
		func(r *row) []any { return []any{&r.class, &r.year, &r.term} },
		func(r row) { all[termOf{r.class, domain.YearOf(r.year), r.term}] = true }, args...)
	return all, err
}

func (p place) termOf() termOf { return termOf{p.class, domain.YearOf(p.year), p.term} }
