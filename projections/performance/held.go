package performance

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/projections/read"
)

// What an import compares with: each function returns what a school has of the things given, nil
// where it has nothing.

const heldScoresSQL read.SQL = `-- performance.held_scores
SELECT q.n, s.class_id, s.subject, s.year, s.term, s.entry
FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS q (student, assessment, n)
JOIN performance_scores s ON s.school = $1 AND s.student_id = q.student
	AND s.assessment_id = q.assessment`

// HeldScores looks scores up by student, assessment and attempt.
func HeldScores(
	ctx context.Context, tx pgx.Tx, school string, of []*assessment.Scored,
) ([]*assessment.Scored, error) {
	students, ids := make([]string, len(of)), make([]string, len(of))
	for i, s := range of {
		students[i], ids[i] = s.StudentID, s.AssessmentID
	}
	type row struct {
		assessment.Scored
		entry string
	}
	found, err := read.PerKey(ctx, tx, len(of), heldScoresSQL, func(s *row) []any {
		return []any{&s.ClassID, &s.SubjectName, &s.Year, &s.Term, &s.entry}
	}, school, students, ids)
	if err != nil {
		return nil, err
	}
	held := make([]*assessment.Scored, len(of))
	for i := range found {
		if len(found[i]) == 0 {
			continue
		}
		s := &found[i][0]
		var is entry
		is.read(s.entry)
		for _, a := range is.attempts {
			if a.Number == max(of[i].Attempt, 1) && a.Status == "" {
				held[i] = &s.Scored
				s.StudentID, s.AssessmentID, s.Attempt = students[i], ids[i], of[i].Attempt
				s.Score, s.MaxScore, s.ExtraCredit = a.Score, a.Max, a.extraCredit
				s.Scale, s.Category, s.Weight = is.scale, is.category, is.weight
			}
		}
	}
	return held, nil
}

const heldAssessmentsSQL read.SQL = `-- performance.held_assessments
SELECT q.n, a.class_id, a.subject, a.title, a.max_score, a.held_on, a.year, a.term, a.scale,
	a.category, a.weight
FROM unnest($2::text[]) WITH ORDINALITY AS q (id, n)
JOIN assessments a ON a.school = $1 AND a.assessment_id = q.id`

// HeldAssessments looks assessments up by their ids.
func HeldAssessments(
	ctx context.Context, tx pgx.Tx, school string, of []*assessment.Scheduled,
) ([]*assessment.Scheduled, error) {
	ids := make([]string, len(of))
	for i, a := range of {
		ids[i] = a.AssessmentID
	}
	found, err := read.PerKey(ctx, tx, len(of), heldAssessmentsSQL,
		func(a *assessment.Scheduled) []any {
			return []any{
				&a.ClassID, &a.SubjectName, &a.Title, &a.MaxScore, &a.On, &a.Year, &a.Term,
				&a.Scale, &a.Category, &a.Weight,
			}
		}, school, ids)
	if err != nil {
		return nil, err
	}
	held := make([]*assessment.Scheduled, len(of))
	for i := range found {
		if len(found[i]) > 0 {
			held[i] = &found[i][0]
			held[i].AssessmentID = ids[i]
		}
	}
	return held, nil
}
