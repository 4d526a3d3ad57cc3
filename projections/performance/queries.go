package performance

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/domain/marks"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Queries are those of the marks.
var Queries = []query.Endpoint{
	query.Query[input, Results]{
		Name:    "performance",
		Path:    "/analytics/performance",
		Summary: "How classes and students do",
		Description: "Averages, standard deviations, medians, pass rates and distributions of scores as " +
			"percentages, for each subject of a class in a term, for each term, and for all of the " +
			"selection together, and the students by their average. Averages are exact, and rounded " +
			"once, to two decimals. A score of a section counts for the " +
			"student's home class on the day of the assessment, unless the section is selected. " +
			"Of the students teachers see their own, with their ranks among all.",
		Reads:   []*projections.Projection{Projection, students.Projection},
		TTL:     10 * time.Minute,
		Roles:   []query.Role{query.Admin, query.Teacher, query.Analyst},
		ByScope: true,
		Indexes: []query.Index{
			{
				Name: "performance_sheets_pkey", Statement: "performance.sheets",
				Request: "/analytics/performance?year=2026-2027&term=autumn",
			},
			{
				Name: "performance_sheets_by_class", Statement: "performance.sheets",
				Request: "/analytics/performance?class=class-07",
			},
			{
				Name: "performance_sheets_by_student", Statement: "performance.sheets",
				Request: "/analytics/performance?grade_level=7",
			},
			{
				Name: "enrolments_by_class", Statement: "performance.section_sheets",
				Request: "/analytics/performance?class=class-07",
			},
			{
				Name: "performance_sheets_pkey", Statement: "performance.years",
				Request: "/analytics/performance",
			},
			{
				Name: "assessments_by_kind", Statement: "performance.kinds",
				Request: "/analytics/performance?class=section-07",
			},
			{
				Name: "assessments_by_day", Statement: "performance.upcoming",
				Request: "/analytics/performance",
			},
			{
				Name: "results_published_pkey", Statement: "performance.published",
				Request: "/analytics/performance?class=class-07",
			},
		},
		Run: analyse,
	},
}

// input selects what the result covers.
type input struct {
	Year    domain.Label `query:"year" maxLength:"32" doc:"Only this school year: 2026, 2026-2027 and 2026/27 are the same"`
	Term    domain.Label `query:"term" maxLength:"32" doc:"Only this term"`
	Class   string       `query:"class" maxLength:"128" doc:"Only scores that count for this home class, or name this section"`
	Grade   domain.Label `query:"grade_level" maxLength:"32" doc:"Only students who are in this year group now"`
	Subject string       `query:"subject" maxLength:"128" doc:"Only this subject"`
	Pass    int64        `query:"pass" minimum:"1" maximum:"100" doc:"From what percentage on a score is a pass; by default what the school has decided"`
	Limit   int          `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The maximum number of students"`
}

// Results is how a school, or a part of it, does.
type Results struct {
	Statistics
	Rules    AppliedRules `json:"rules" doc:"How these numbers were made of scores"`
	Groups   []Group      `json:"groups"`
	Terms    []Term       `json:"terms" doc:"All groups of a term together"`
	Students []Ranked     `json:"students" doc:"The best first; by id where the school ranks nobody"`
	Ranked   int64        `json:"ranked" doc:"How many students have an average"`
	Upcoming []Planned    `json:"upcoming" doc:"The next 20 assessments; of a home class also those of the sections that its students attend today"`
}

// Group is a subject in a class in a term.
type Group struct {
	Year    domain.Label `json:"year"`
	Term    domain.Label `json:"term"`
	ClassID string       `json:"class_id"`
	Subject string       `json:"subject"`
	Statistics
	Published bool `json:"published" doc:"Students and guardians may see the results of the class's term"`
}

// Term is all that was scored in a term.
type Term struct {
	Year domain.Label `json:"year"`
	Term domain.Label `json:"term"`
	Statistics
}

// Ranked is a student's average among the others.
type Ranked struct {
	Rank       int64   `json:"rank,omitzero" doc:"1 is the best; students share a rank if and only if their exact averages are equal. Absent where the school ranks nobody"`
	StudentID  string  `json:"student_id"`
	GivenName  string  `json:"given_name"`
	FamilyName string  `json:"family_name"`
	Scores     int64   `json:"scores" doc:"How many scores the average is of"`
	Average    float64 `json:"average" doc:"In percent"`
}

// Planned is a future assessment.
type Planned struct {
	AssessmentID string         `json:"assessment_id"`
	ClassID      string         `json:"class_id"`
	Subject      string         `json:"subject"`
	Title        string         `json:"title"`
	On           domain.Date    `json:"on"`
	MaxScore     domain.Decimal `json:"max_score" doc:"The points that can be scored"`
}

const upcomingSQL read.SQL = `-- performance.upcoming
SELECT assessment_id, class_id, subject, title, held_on, max_score
FROM assessments WHERE school = $1 AND held_on >= $2 /*where*/
ORDER BY held_on, assessment_id LIMIT 20`

// selection turns the input into what is to be read.
func (in *input) selection(
	ctx context.Context, tx pgx.Tx, scope query.Scope, recorded years,
) (*selection, error) {
	s := &selection{term: in.Term, class: in.Class, subject: in.Subject}
	if in.Year != "" {
		s.years = recorded.labels(domain.YearOf(in.Year))
	}
	var err error
	if in.Grade != "" {
		s.students, err = students.InGrade(ctx, tx, scope.School, in.Grade)
	}
	return s, err
}

func analyse(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) (*Results, error) {
	recorded, err := readYears(ctx, tx, scope.School)
	if err != nil {
		return nil, err
	}
	of, err := in.selection(ctx, tx, scope, recorded)
	if err != nil {
		return nil, err
	}
	rules := scope.Settings.Marks.WithDefaults()
	if in.Pass > 0 {
		rules.Pass = in.Pass
	}
	c := collector{rules: &rules, recorded: recorded}
	if err := eachMark(ctx, tx, scope.School, of, c.visit); err != nil {
		return nil, err
	}
	shown, err := publishedTerms(ctx, tx, scope.School, in.Class)
	if err != nil {
		return nil, err
	}
	a := &Results{Rules: applied(&rules)}
	c.describe(a, shown)
	a.Students, a.Ranked = c.rank(scope, read.Page(in.Limit, 100, 1000))
	if err := a.name(ctx, tx, scope); err != nil {
		return nil, err
	}
	conditions, args := of.conditions(scope.School, scope.Today)
	if of.students != nil { // assessments are of classes
		conditions, args = conditions[:len(conditions)-1], args[:len(args)-1]
	}
	if in.Class != "" {
		sections, err := students.SectionsOfHome(ctx, tx, scope.School, in.Class, scope.Today)
		if err != nil {
			return nil, err
		}
		args = append(args, append(sections, in.Class))
		conditions = append(conditions, fmt.Sprintf("class_id = ANY($%d)", len(args)))
	}
	a.Upcoming, err = read.All(ctx, tx, upcomingSQL.With(conditions...), func(p *Planned) []any {
		return []any{&p.AssessmentID, &p.ClassID, &p.Subject, &p.Title, &p.On, &p.MaxScore}
	}, args...)
	return a, err
}

// collector adds marks up by group and by student.
type collector struct {
	rules    *marks.Rules
	recorded years
	groups   map[place]*collected
	students map[string]*marks.Sum

	// of the mark before, which mostly are those of the next one too
	place   place
	group   *collected
	student string
	sum     *marks.Sum
	results []marks.Attempt
}

func (c *collector) visit(m *mark) {
	if c.groups == nil {
		c.groups, c.students = map[place]*collected{}, map[string]*marks.Sum{}
	}
	if c.group == nil || m.place != c.place {
		at := m.place
		at.year = c.recorded.name(at.year)
		if c.groups[at] == nil {
			c.groups[at] = &collected{}
		}
		c.place, c.group = m.place, c.groups[at]
	}
	if c.sum == nil || m.student != c.student {
		if c.students[m.student] == nil {
			c.students[m.student] = &marks.Sum{}
		}
		c.student, c.sum = m.student, c.students[m.student]
	}
	c.results = c.results[:0]
	for _, a := range m.attempts {
		c.results = append(c.results, a.Attempt)
	}
	if v, ok := c.group.add(c.rules, m, c.results); ok {
		c.sum.Add(m.kind, v)
	}
}

// describe fills in the statistics.
func (c *collector) describe(a *Results, shown map[termOf]bool) {
	type term struct{ year, term domain.Label }
	var all collected
	terms := map[term]*collected{}
	a.Groups, a.Terms = make([]Group, 0, len(c.groups)), []Term{}
	for at, group := range c.groups {
		a.Groups = append(a.Groups, Group{
			Year: at.year, Term: at.term, ClassID: at.class, Subject: at.subject,
			Statistics: group.statistics(c.rules, c.rules.Pass), Published: shown[at.termOf()],
		})
		of := term{at.year, at.term}
		if terms[of] == nil {
			terms[of] = &collected{}
		}
		terms[of].merge(group)
	}
	for of, t := range terms {
		a.Terms = append(a.Terms, Term{of.year, of.term, t.statistics(c.rules, c.rules.Pass)})
		all.merge(t)
	}
	slices.SortFunc(a.Groups, func(a, b Group) int {
		return cmp.Or(domain.YearOf(a.Year).Compare(domain.YearOf(b.Year)), cmp.Compare(a.Term, b.Term),
			cmp.Compare(a.ClassID, b.ClassID), cmp.Compare(a.Subject, b.Subject))
	})
	slices.SortFunc(a.Terms, func(a, b Term) int {
		return cmp.Or(domain.YearOf(a.Year).Compare(domain.YearOf(b.Year)), cmp.Compare(a.Term, b.Term))
	})
	a.Statistics = all.statistics(c.rules, c.rules.Pass)
}

// rank returns the first of those students whom the caller may see, and how many there are of all.
func (c *collector) rank(scope query.Scope, limit int) (shown []Ranked, all int64) {
	var ids []string
	for id, sum := range c.students {
		if sum.Count() > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	averages := make([]marks.Average, len(ids))
	for i, id := range ids {
		averages[i], _ = c.students[id].Average(c.rules)
	}
	order, ranks := marks.Rank(averages, cmp.Compare)
	if c.rules.Ranks == marks.Off {
		slices.Sort(order)
		clear(ranks)
	}
	among := scope.Access.Among(access.Names | access.Marks | access.Drafts)
	slices.Sort(among)
	shown = []Ranked{}
	for _, i := range order {
		if len(shown) == limit {
			break
		}
		if _, mine := slices.BinarySearch(among, ids[i]); among == nil || mine {
			shown = append(shown, Ranked{
				Rank: ranks[i], StudentID: ids[i], Scores: c.students[ids[i]].Count(),
				Average: averages[i].Percent(),
			})
		}
	}
	return shown, int64(len(ids))
}

// name adds the names of the students.
func (a *Results) name(ctx context.Context, tx pgx.Tx, scope query.Scope) error {
	ids := make([]string, len(a.Students))
	for i := range a.Students {
		ids[i] = a.Students[i].StudentID
	}
	names, err := students.Names(ctx, tx, scope.School, ids, scope.Today)
	for i := range a.Students {
		s := &a.Students[i]
		s.GivenName, s.FamilyName = names[s.StudentID].GivenName, names[s.StudentID].FamilyName
	}
	return err
}
