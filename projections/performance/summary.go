package performance

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/marks"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Average is how a student does in a subject in a term.
type Average struct {
	Year      domain.Label `json:"year"`
	Term      domain.Label `json:"term"`
	ClassID   string       `json:"class_id" doc:"The home class for which the marks of a term count; of a subject the class or section that the marks name"`
	Subject   string       `json:"subject,omitzero" doc:"Absent for the average of all subjects"`
	Scores    int64        `json:"scores" doc:"How many scores the average is of"`
	Average   float64      `json:"average" doc:"In percent"`
	Rank      int64        `json:"rank,omitzero" doc:"In the class; students share a rank if and only if their exact averages are equal"`
	Of        int64        `json:"of,omitzero" doc:"How many students of the class are ranked"`
	YearRank  int64        `json:"year_rank,omitzero" doc:"In the year group, which is all students who are in the same grade level now; of the latest year"`
	YearOf    int64        `json:"year_of,omitzero" doc:"How many students of the year group are ranked"`
	Published bool         `json:"published"`
}

// Summary is a student's averages, the newest first.
type Summary struct {
	Method   marks.Method `json:"method" enum:"equal,points,weights" doc:"How scores make an average: each assessment alike (equal), the sum of the scores over the sum of the maxima (points), or categories by their weights (weights)"`
	Terms    []Average    `json:"terms" doc:"All subjects together, with the ranks; for guardians and students without those among fewer students than the school's least"`
	Subjects []Average    `json:"subjects"`
}

// ownSQL reads a student's scores, with the home class of the day where they are of a section.
const ownSQL read.SQL = `-- performance.student_scores
SELECT s.year, s.term, s.class_id, s.subject, s.entry, coalesce(h.class_id, s.class_id)
FROM performance_scores s
LEFT JOIN sections($1) x ON x.class_id = s.class_id
LEFT JOIN assessments a ON a.school = s.school AND a.assessment_id = s.assessment_id
LEFT JOIN LATERAL home_on(
	s.school, s.student_id, coalesce(a.held_on, (s.scored_at AT TIME ZONE 'UTC')::date)
) h ON x.class_id IS NOT NULL
WHERE s.school = $1 AND s.student_id = $2`

// Summarise returns a student's averages. To the family it shows those of published results.
func Summarise(
	ctx context.Context, tx pgx.Tx, scope query.Scope, studentID string, family bool,
) (s Summary, err error) {
	rules := scope.Settings.Marks.WithDefaults()
	s = Summary{Method: rules.Method}
	recorded, err := readYears(ctx, tx, scope.School)
	if err != nil {
		return s, err
	}
	terms, subjects, err := ownSums(ctx, tx, scope.School, studentID, &rules, recorded)
	if err != nil {
		return s, err
	}
	shown, err := publishedTerms(ctx, tx, scope.School, "")
	if err != nil {
		return s, err
	}
	s.Terms, s.Subjects = listed(terms, &rules, shown, family), listed(subjects, &rules, shown, family)
	if rules.Ranks == marks.Off || len(s.Terms) == 0 {
		return s, nil
	}
	if err = s.rankInClasses(ctx, tx, scope, studentID, &rules, recorded); err != nil {
		return s, err
	}
	if err = s.rankInYear(ctx, tx, scope, studentID, &rules, recorded); err != nil {
		return s, err
	}
	if family {
		for i := range s.Terms {
			s.Terms[i].hide(rules.Least)
		}
	}
	return s, nil
}

// hide removes ranks among few students.
func (a *Average) hide(least int64) {
	if a.Of < least {
		a.Rank, a.Of = 0, 0
	}
	if a.YearOf < least {
		a.YearRank, a.YearOf = 0, 0
	}
}

// ownSums adds a student's scores up: by term for home classes, and by subject as they were entered.
func ownSums(
	ctx context.Context, tx pgx.Tx, school, studentID string, rules *marks.Rules, recorded years,
) (terms, subjects map[place]*marks.Sum, err error) {
	type row struct {
		place
		entries, home string
	}
	f, err := newFiling(ctx, tx, school)
	if err != nil {
		return nil, nil, err
	}
	terms, subjects = map[place]*marks.Sum{}, map[place]*marks.Sum{}
	var is entry
	err = read.Each(ctx, tx, ownSQL, func(r *row) []any {
		return []any{&r.year, &r.term, &r.class, &r.subject, &r.entries, &r.home}
	}, func(r row) {
		is.read(r.entries)
		kind := f.kindOf(&is)
		v, ok := rules.ValueOf(is.results())
		if !ok || !rules.Counts(kind) {
			return
		}
		r.year = recorded.name(r.year)
		for sums, at := range map[*map[place]*marks.Sum]place{
			&subjects: r.place, &terms: {r.year, r.term, r.home, ""},
		} {
			if (*sums)[at] == nil {
				(*sums)[at] = &marks.Sum{}
			}
			(*sums)[at].Add(kind, v)
		}
	}, school, studentID)
	return terms, subjects, err
}

// listed returns averages, the newest first.
func listed(
	sums map[place]*marks.Sum, rules *marks.Rules, shown map[termOf]bool, family bool,
) []Average {
	all := []Average{}
	for at, sum := range sums {
		average, _ := sum.Average(rules)
		a := Average{
			Year: at.year, Term: at.term, ClassID: at.class, Subject: at.subject,
			Scores: sum.Count(), Average: average.Percent(), Published: shown[at.termOf()],
		}
		if a.Published || !family {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b Average) int {
		return cmp.Or(domain.YearOf(b.Year).Compare(domain.YearOf(a.Year)), cmp.Compare(b.Term, a.Term),
			cmp.Compare(a.ClassID, b.ClassID), cmp.Compare(a.Subject, b.Subject))
	})
	return all
}

// rankInClasses ranks the student in each class for which marks of theirs count.
func (s *Summary) rankInClasses(
	ctx context.Context, tx pgx.Tx, scope query.Scope, studentID string, rules *marks.Rules, recorded years,
) error {
	classes := map[string]bool{}
	for i := range s.Terms {
		classes[s.Terms[i].ClassID] = true
	}
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		sums, err := sumsByTerm(ctx, tx, scope.School, &selection{class: class}, rules)
		if err != nil {
			return err
		}
		for i := range s.Terms {
			if a := &s.Terms[i]; a.ClassID == class {
				a.Rank, a.Of = standing(sums[a.termKey()], rules, studentID)
			}
		}
	}
	return nil
}

// rankInYear ranks the student among those of the same grade level, in the terms of the latest year.
func (s *Summary) rankInYear(
	ctx context.Context, tx pgx.Tx, scope query.Scope, studentID string, rules *marks.Rules, recorded years,
) error {
	group, err := students.YearGroup(ctx, tx, scope.School, studentID)
	if err != nil || len(group) == 0 {
		return err
	}
	latest := recorded.latest()
	sums, err := sumsByTerm(ctx, tx, scope.School, &selection{years: latest, students: group}, rules)
	if err != nil {
		return err
	}
	for i := range s.Terms {
		if a := &s.Terms[i]; len(latest) > 0 && a.termKey().year == domain.YearOf(latest[0]) {
			a.YearRank, a.YearOf = standing(sums[a.termKey()], rules, studentID)
		}
	}
	return nil
}

// termKey is a term of a school year.
type termKey struct {
	year domain.SchoolYear
	term domain.Label
}

func (a *Average) termKey() termKey { return termKey{domain.YearOf(a.Year), a.Term} }

// sumsByTerm adds scores up by term and student.
func sumsByTerm(
	ctx context.Context, tx pgx.Tx, school string, of *selection, rules *marks.Rules,
) (map[termKey]map[string]*marks.Sum, error) {
	all := map[termKey]map[string]*marks.Sum{}
	var results []marks.Attempt
	err := eachMark(ctx, tx, school, of, func(m *mark) {
		results = results[:0]
		for _, a := range m.attempts {
			results = append(results, a.Attempt)
		}
		v, ok := rules.ValueOf(results)
		if !ok || !rules.Counts(m.kind) {
			return
		}
		at := termKey{domain.YearOf(m.year), m.term}
		if all[at] == nil {
			all[at] = map[string]*marks.Sum{}
		}
		if all[at][m.student] == nil {
			all[at][m.student] = &marks.Sum{}
		}
		all[at][m.student].Add(m.kind, v)
	})
	return all, err
}

// standing returns a student's rank among sums, and how many there are; zeros for one who has none.
func standing(sums map[string]*marks.Sum, rules *marks.Rules, studentID string) (rank, of int64) {
	own := sums[studentID]
	if own == nil {
		return 0, 0
	}
	mine, _ := own.Average(rules)
	rank = 1
	for _, sum := range sums {
		if other, _ := sum.Average(rules); other.Compare(&mine) > 0 {
			rank++
		}
	}
	return rank, int64(len(sums))
}

// Latest is how a school does in its latest year.
type Latest struct {
	Mean *float64 // by the school's method, in percent; nil without scores
	Low  []Low    // the students with an average below 50 %, by id
}

// Low is a student with a low average.
type Low struct {
	StudentID string
	Average   float64 // in percent
	Key       int64   // the average's first twelve digits: 10¹² is 100 %
}

// LowBelow is the percentage below which an average is low.
const LowBelow = 50

// LatestYear returns how a school does in the latest year that it has scores of.
func LatestYear(ctx context.Context, tx pgx.Tx, scope query.Scope) (l Latest, err error) {
	recorded, err := readYears(ctx, tx, scope.School)
	if err != nil {
		return l, err
	}
	rules := scope.Settings.Marks.WithDefaults()
	c := collector{rules: &rules, recorded: recorded}
	if err := eachMark(ctx, tx, scope.School, &selection{years: recorded.latest()}, c.visit); err != nil {
		return l, err
	}
	var all marks.Sum
	for _, id := range slices.Sorted(maps.Keys(c.students)) {
		sum := c.students[id]
		all.AddSum(sum)
		if a, ok := sum.Average(&rules); ok && a.Below(LowBelow) {
			l.Low = append(l.Low, Low{id, a.Percent(), a.Key()})
		}
	}
	if a, ok := all.Average(&rules); ok {
		mean := a.Percent()
		l.Mean = &mean
	}
	return l, nil
}
