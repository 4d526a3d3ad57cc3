package performance

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
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
		Description: "Means, standard deviations, pass rates and distributions of scores as " +
			"percentages, for each subject of a class in a term and for all of the selection " +
			"together, and the students by their average. A score of a section counts for the " +
			"student's home class on the day of the assessment, unless the section is selected. " +
			"Of the students teachers see their own, with their ranks among all.",
		Reads:   []*projections.Projection{Projection, students.Projection},
		TTL:     10 * time.Minute,
		Roles:   []query.Role{query.Admin, query.Teacher, query.Analyst},
		ByScope: true,
		Indexes: []query.Index{
			{
				Name: "performance_groups_pkey", Statement: "performance.groups",
				Request: "/analytics/performance?year=2026-2027&term=autumn",
			},
			{
				Name: "performance_students_pkey", Statement: "performance.ranking",
				Request: "/analytics/performance?year=2026-2027&term=autumn",
			},
			{
				Name: "performance_students_by_class", Statement: "performance.class_ranking",
				Request: "/analytics/performance?class=class-07",
			},
			{
				Name: "performance_scores_pkey", Statement: "performance.class_ranking",
				Request: "/analytics/performance?class=class-07",
			},
			{
				Name: "enrolments_by_class", Statement: "performance.moved",
				Request: "/analytics/performance?class=class-07",
			},
			{
				Name: "assessments_by_day", Statement: "performance.upcoming",
				Request: "/analytics/performance",
			},
			{
				Name: "results_published_pkey", Statement: "performance.groups",
				Request: "/analytics/performance?class=class-07",
			},
		},
		Run: analyse,
	},
}

// input selects what the result covers.
type input struct {
	Year    domain.Label `query:"year" maxLength:"32" doc:"Only this year, as the school calls it"`
	Term    domain.Label `query:"term" maxLength:"32" doc:"Only this term"`
	Class   string       `query:"class" maxLength:"128" doc:"Only scores that count for this home class, or name this section"`
	Subject string       `query:"subject" maxLength:"128" doc:"Only this subject"`
	Pass    int          `query:"pass" minimum:"10" maximum:"90" multipleOf:"10" default:"50" doc:"From what percentage on a score is a pass"`
	Limit   int          `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The maximum number of students"`
}

// Statistics describe scores, which are percentages of the maximum score.
type Statistics struct {
	Count        int64     `json:"count" doc:"How many scores there are"`
	Mean         *float64  `json:"mean" doc:"In percent; null without scores"`
	StdDev       *float64  `json:"std_dev" doc:"Standard deviation of these scores, in percentage points"`
	PassRate     *float64  `json:"pass_rate" doc:"Part of the scores that are a pass"`
	Distribution [10]int64 `json:"distribution" doc:"Numbers of scores below 10 %, from there below 20 %, and so on; 100 % is in the last"`
}

// Results is how a school, or a part of it, does.
type Results struct {
	Statistics
	Groups   []Group   `json:"groups"`
	Students []Ranked  `json:"students" doc:"The best first"`
	Ranked   int64     `json:"ranked" doc:"How many students have scores"`
	Upcoming []Planned `json:"upcoming" doc:"The next 20 assessments; of a home class also those of the sections that its students attend today"`
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

// Ranked is a student's average among the others.
type Ranked struct {
	Rank       int64   `json:"rank" doc:"1 is the best; students with the same average share a rank"`
	StudentID  string  `json:"student_id"`
	GivenName  string  `json:"given_name"`
	FamilyName string  `json:"family_name"`
	Scores     int64   `json:"scores"`
	Average    float64 `json:"average" doc:"In percent"`
}

// Planned is a future assessment.
type Planned struct {
	AssessmentID string      `json:"assessment_id"`
	ClassID      string      `json:"class_id"`
	Subject      string      `json:"subject"`
	Title        string      `json:"title"`
	On           domain.Date `json:"on"`
	MaxScore     float64     `json:"max_score"`
}

// filter adds the conditions of an input to a statement's parameters. All tables call their columns
// alike; without a column for the class it is left out.
func (in *input) filter(classColumn string, args ...any) (conditions []string, all []any) {
	add := func(value, column string) {
		if value != "" && column != "" {
			args = append(args, value)
			conditions = append(conditions, fmt.Sprintf("%s = $%d", column, len(args)))
		}
	}
	add(string(in.Year), "year")
	add(string(in.Term), "term")
	add(in.Class, classColumn)
	add(in.Subject, "subject")
	return conditions, args
}

const groupsSQL read.SQL = `-- performance.groups
SELECT year, term, class_id, subject, scores, points, squares, buckets,
	EXISTS (SELECT FROM results_published p
		WHERE p.school = $1 AND p.class_id = g.class_id AND p.year = g.year AND p.term = g.term)
FROM performance_groups g WHERE school = $1 /*where*/
ORDER BY year, term, class_id, subject`

const rankingSQL read.SQL = `-- performance.ranking
` + rankingOf + `performance_students WHERE school = $1` + ranking

const classRankingSQL read.SQL = `-- performance.class_ranking
` + rankingOf + `class_scores($1, $3) WHERE true` + ranking

const (
	rankingOf = `WITH averages AS (
	SELECT student_id, sum(scores)::bigint AS scores, sum(points)::float8 / sum(scores)::float8 AS
	average
	FROM `
	ranking = ` /*where*/ GROUP BY student_id
), ranked AS (
	SELECT *, rank() OVER (ORDER BY average DESC) AS rank FROM averages
), shown AS (
	SELECT * FROM ranked WHERE true /*among*/ ORDER BY average DESC, student_id LIMIT $2
)
SELECT coalesce(s.rank, 0), coalesce(s.student_id, ''), coalesce(s.scores, 0),
	coalesce(s.average, 0), a.ranked
FROM (SELECT count(*) AS ranked FROM averages) a LEFT JOIN shown s ON true
ORDER BY s.rank, s.student_id`
)

const upcomingSQL read.SQL = `-- performance.upcoming
SELECT assessment_id, class_id, subject, title, held_on, max_score
FROM assessments WHERE school = $1 AND held_on >= $2 /*where*/
ORDER BY held_on, assessment_id LIMIT 20`

// group is a group with the sums that its statistics are made of.
type group struct {
	Group
	sums groupRow
}

func analyse(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) (*Results, error) {
	conditions, args := in.filter("class_id", scope.School)
	groups, err := read.All(ctx, tx, groupsSQL.With(conditions...), func(g *group) []any {
		return []any{
			&g.Year, &g.Term, &g.ClassID, &g.Subject,
			&g.sums.Scores, &g.sums.Points, &g.sums.Squares, &g.sums.Buckets, &g.Published,
		}
	}, args...)
	if err != nil {
		return nil, err
	}
	if groups, err = fileGroups(ctx, tx, scope.School, in, groups); err != nil {
		return nil, err
	}
	pass := in.Pass / 10
	if pass == 0 {
		pass = 5
	}
	a := &Results{Groups: make([]Group, len(groups))}
	var all groupRow
	for i := range groups {
		a.Groups[i] = groups[i].Group
		a.Groups[i].Statistics = groups[i].sums.statistics(pass)
		all.add(&groups[i].sums, +1)
	}
	a.Statistics = all.statistics(pass)
	if err := a.rank(ctx, tx, scope, in); err != nil {
		return nil, err
	}
	conditions, args = in.filter("", scope.School, scope.Today)
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

// rank reads the students by their average in the selection.
func (a *Results) rank(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) error {
	args := []any{scope.School, read.Page(in.Limit, 100, 1000)}
	statement := rankingSQL
	if in.Class != "" {
		statement, args = classRankingSQL, append(args, in.Class)
	}
	conditions, args := in.filter("", args...)
	shown := ""
	if among := scope.Access.Among(access.Names | access.Marks | access.Drafts); among != nil {
		args = append(args, among)
		shown = fmt.Sprintf("student_id = ANY($%d)", len(args))
	}
	var err error
	a.Students, err = read.All(ctx, tx, statement.With(conditions...).Put("among", shown),
		func(r *Ranked) []any {
			return []any{&r.Rank, &r.StudentID, &r.Scores, &r.Average, &a.Ranked}
		}, args...)
	if err != nil {
		return err
	}
	if len(a.Students) == 1 && a.Students[0].StudentID == "" { // how many there are, and none to show
		a.Students = a.Students[:0]
	}
	ids := make([]string, len(a.Students))
	for i := range a.Students {
		ids[i] = a.Students[i].StudentID
	}
	names, err := students.Names(ctx, tx, scope.School, ids, scope.Today)
	if err != nil {
		return err
	}
	for i := range a.Students {
		s := &a.Students[i]
		s.Average = percent(s.Average)
		s.GivenName, s.FamilyName = names[s.StudentID].GivenName, names[s.StudentID].FamilyName
	}
	return nil
}

// percent makes basis points a percentage with two digits.
func percent(points float64) float64 { return read.Round(points/100, 2) }

// statistics describes the scores of a group; those from the bucket pass on are a pass.
func (g groupRow) statistics(pass int) Statistics {
	s := Statistics{Count: g.Scores, Distribution: g.Buckets}
	if g.Scores == 0 {
		return s
	}
	n := float64(g.Scores)
	mean := float64(g.Points) / n
	variance := max(float64(g.Squares)/n-mean*mean, 0)
	var passed int64
	for _, b := range g.Buckets[pass:] {
		passed += b
	}
	m, d := percent(mean), percent(math.Sqrt(variance))
	s.Mean, s.StdDev, s.PassRate = &m, &d, read.Ratio(passed, g.Scores)
	return s
}

// Average is how a student does in a subject in a term.
type Average struct {
	Year      domain.Label `json:"year"`
	Term      domain.Label `json:"term"`
	ClassID   string       `json:"class_id" doc:"The home class for which the marks of a term count; of a subject the class or section that the marks name"`
	Subject   string       `json:"subject,omitzero" doc:"Absent for the average of all subjects"`
	Scores    int64        `json:"scores"`
	Average   float64      `json:"average" doc:"In percent"`
	Rank      int64        `json:"rank,omitzero" doc:"In the class"`
	Of        int64        `json:"of,omitzero" doc:"How many students of the class are ranked"`
	Published bool         `json:"published"`
}

const subjectAveragesSQL read.SQL = `-- performance.student_subjects
SELECT year, term, class_id, subject, count(*), avg(points)::float8, EXISTS (SELECT
	FROM results_published p
	WHERE p.school = $1 AND p.class_id = s.class_id AND p.year = s.year
	AND p.term = s.term) AS published
FROM performance_scores s WHERE school = $1 AND student_id = $2
GROUP BY year, term, class_id, subject ORDER BY year DESC, term DESC, class_id, subject`

// termAveragesSQL ranks the student in each class for which marks of theirs count.
const termAveragesSQL read.SQL = `-- performance.student_terms
WITH mine AS MATERIALIZED (
	SELECT DISTINCT year, term, coalesce(home, class_id) AS class_id FROM filed_scores($1)
	WHERE student_id = $2
), classes AS MATERIALIZED (
	SELECT DISTINCT class_id FROM mine
), counted AS MATERIALIZED (
	SELECT k.class_id, c.year, c.term, c.student_id, c.scores, c.points
	FROM classes k CROSS JOIN LATERAL class_scores($1, k.class_id) c
), averages AS (
	SELECT year, term, class_id, student_id, sum(scores)::bigint AS scores,
	sum(points)::float8 / sum(scores)::float8 AS average
	FROM mine JOIN counted USING (year, term, class_id)
	GROUP BY year, term, class_id, student_id
), ranked AS (
	SELECT *, rank() OVER (PARTITION BY year, term, class_id ORDER BY average DESC) AS rank,
		count(*) OVER (PARTITION BY year, term, class_id) AS ranked
	FROM averages
)
SELECT year, term, class_id, '', scores, average, rank, ranked, EXISTS (SELECT
	FROM results_published p
	WHERE p.school = $1 AND p.class_id = r.class_id AND p.year = r.year
	AND p.term = r.term) AS published
FROM ranked r WHERE student_id = $2 ORDER BY year DESC, term DESC, class_id`

// Summary is a student's averages, the newest first.
type Summary struct {
	Terms    []Average `json:"terms" doc:"All subjects together, with the rank in the class"`
	Subjects []Average `json:"subjects"`
}

// Summarise returns a student's averages; only those of published results when publishedOnly is
// set.
func Summarise(
	ctx context.Context, tx pgx.Tx, school, studentID string, publishedOnly bool,
) (s Summary, err error) {
	s.Terms, err = averages(ctx, tx, termAveragesSQL, func(a *Average) []any {
		return []any{
			&a.Year, &a.Term, &a.ClassID, &a.Subject, &a.Scores, &a.Average, &a.Rank,
			&a.Of, &a.Published,
		}
	}, publishedOnly, school, studentID)
	if err != nil {
		return s, err
	}
	s.Subjects, err = averages(ctx, tx, subjectAveragesSQL, func(a *Average) []any {
		return []any{&a.Year, &a.Term, &a.ClassID, &a.Subject, &a.Scores, &a.Average, &a.Published}
	}, publishedOnly, school, studentID)
	return s, err
}

func averages(
	ctx context.Context, tx pgx.Tx, statement read.SQL, into func(*Average) []any,
	publishedOnly bool, args ...any,
) ([]Average, error) {
	all, err := read.All(ctx, tx, statement, into, args...)
	shown := all[:0]
	for _, a := range all {
		if a.Published || !publishedOnly {
			a.Average = percent(a.Average)
			shown = append(shown, a)
		}
	}
	return shown, err
}

const meanSQL read.SQL = `-- performance.mean
SELECT coalesce(sum(scores), 0)::bigint, coalesce(sum(points), 0)::bigint FROM performance_groups
WHERE school = $1 AND year = (SELECT max(year) FROM performance_groups WHERE school = $1)`

// Mean returns the mean of all scores of the latest year in percent; nil without scores.
func Mean(ctx context.Context, tx pgx.Tx, school string) (*float64, error) {
	s, _, err := read.One(ctx, tx, meanSQL,
		func(s *Sum) []any { return []any{&s.Scores, &s.Points} }, school)
	if err != nil || s.Scores == 0 {
		return nil, err
	}
	mean := percent(float64(s.Points) / float64(s.Scores))
	return &mean, nil
}
