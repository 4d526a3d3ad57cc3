package performance

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/read"
)

// The facts about results that the rules of messages and documents look up. Each function looks up
// many keys at once, of any schools, and returns what there is for each of them, in their order.

// ScoreFacts describe a student's score in one assessment.
type ScoreFacts struct {
	AssessmentID, Subject string
	Title                 string      // empty, like On, when the assessment was not announced
	On                    domain.Date //
	At                    time.Time   // when it was entered
	Score, MaxScore       float64
}

const inTerm = `
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
	AS q (school, id, year, term, n)
`

const scoreFactsSQL read.SQL = `-- performance.facts_of_scores
SELECT q.n, s.assessment_id, s.subject, coalesce(a.title, ''), a.held_on, s.scored_at, s.score,
	s.max_score ` + inTerm + `
JOIN schoolbell.performance_scores s ON s.school = q.school AND s.student_id = q.id
	AND s.year = q.year AND s.term = q.term
LEFT JOIN schoolbell.assessments a
	ON a.school = s.school AND a.assessment_id = s.assessment_id
ORDER BY q.n, s.subject, s.assessment_id`

// ScoreFactsOf returns the scores of each student in a term, by subject and assessment.
func ScoreFactsOf(
	ctx context.Context, tx pgx.Tx, schools, studentIDs, years, terms []string,
) ([][]ScoreFacts, error) {
	return read.PerKey(ctx, tx, len(studentIDs), scoreFactsSQL, func(s *ScoreFacts) []any {
		return []any{
			&s.AssessmentID, &s.Subject, &s.Title, &s.On, &s.At, &s.Score, &s.MaxScore,
		}
	}, schools, studentIDs, years, terms)
}

// RemarkFacts are a teacher's remark on a student's term; on all of it when there is no subject.
type RemarkFacts struct{ Subject, Text string }

const remarkFactsSQL read.SQL = `-- performance.facts_of_remarks
SELECT q.n, r.subject, r.text ` + inTerm + `
JOIN schoolbell.performance_remarks r ON r.school = q.school AND r.student_id = q.id
	AND r.year = q.year AND r.term = q.term
ORDER BY q.n, r.subject`

// RemarkFactsOf returns the remarks on each student in a term, by subject.
func RemarkFactsOf(
	ctx context.Context, tx pgx.Tx, schools, studentIDs, years, terms []string,
) ([][]RemarkFacts, error) {
	return read.PerKey(ctx, tx, len(studentIDs), remarkFactsSQL, func(r *RemarkFacts) []any {
		return []any{&r.Subject, &r.Text}
	}, schools, studentIDs, years, terms)
}

// AverageFacts are the average of a home class or a section in one subject.
type AverageFacts struct {
	Subject string
	Percent float64
	Scores  int64
}

const averageFactsSQL read.SQL = `-- performance.facts_of_averages
SELECT q.n, c.subject, sum(c.points)::float8 / 100 / sum(c.scores)::float8, sum(c.scores)::bigint ` +
	inTerm + `
CROSS JOIN LATERAL schoolbell.class_scores(q.school, q.id) c
WHERE c.year = q.year AND c.term = q.term
GROUP BY q.n, c.subject ORDER BY q.n, c.subject`

// AverageFactsOf returns the averages of each class in a term, by subject.
func AverageFactsOf(
	ctx context.Context, tx pgx.Tx, schools, classIDs, years, terms []string,
) ([][]AverageFacts, error) {
	return read.PerKey(ctx, tx, len(classIDs), averageFactsSQL, func(a *AverageFacts) []any {
		return []any{&a.Subject, &a.Percent, &a.Scores}
	}, schools, classIDs, years, terms)
}

// RankFacts are the rank of a student's overall average in a home class or a section.
type RankFacts struct{ Place, Of int }

// A class is ranked once for all of its students that are looked up.
const rankFactsSQL read.SQL = `-- performance.facts_of_rank
WITH q AS MATERIALIZED (
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
	WITH ORDINALITY AS q (school, id, class_id, year, term, n)
),
averages AS (
	SELECT t.school, t.year, t.term, t.class_id, c.student_id,
		sum(c.points)::float8 / sum(c.scores)::float8 AS average
	FROM (SELECT DISTINCT school, year, term, class_id FROM q) t
	CROSS JOIN LATERAL schoolbell.class_scores(t.school, t.class_id) c
	WHERE c.year = t.year AND c.term = t.term
	GROUP BY t.school, t.year, t.term, t.class_id, c.student_id
),
ranked AS (
	SELECT school, year, term, class_id, student_id,
		rank() OVER (PARTITION BY school, year, term, class_id ORDER BY average DESC) AS place,
		count(*) OVER (PARTITION BY school, year, term, class_id) AS others
	FROM averages
)
SELECT q.n, r.place, r.others FROM q
JOIN ranked r ON r.school = q.school AND r.year = q.year AND r.term = q.term
	AND r.class_id = q.class_id AND r.student_id = q.id`

// RankFactsOf returns the rank, or none, of each student in a class in a term.
func RankFactsOf(
	ctx context.Context, tx pgx.Tx, schools, studentIDs, classIDs, years, terms []string,
) ([][]RankFacts, error) {
	return read.PerKey(ctx, tx, len(studentIDs), rankFactsSQL, func(r *RankFacts) []any {
		return []any{&r.Place, &r.Of}
	}, schools, studentIDs, classIDs, years, terms)
}

// PublishedFacts say when the results of a term were published.
type PublishedFacts struct {
	Term domain.Label
	At   time.Time
}

const publishedFactsSQL read.SQL = `-- performance.facts_of_published
SELECT q.n, p.term, p.published_at
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS q (school, id, year, n)
JOIN schoolbell.results_published p ON p.school = q.school AND p.class_id = q.id
	AND p.year = q.year
ORDER BY q.n, p.published_at, p.term`

// PublishedFactsOf returns the terms of a year whose results were published to each class, in the
// order of publication.
func PublishedFactsOf(
	ctx context.Context, tx pgx.Tx, schools, classIDs, years []string,
) ([][]PublishedFacts, error) {
	return read.PerKey(ctx, tx, len(classIDs), publishedFactsSQL, func(p *PublishedFacts) []any {
		return []any{&p.Term, &p.At}
	}, schools, classIDs, years)
}
