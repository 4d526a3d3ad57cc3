package performance

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/marks"
	"github.com/schoolbell/schoolbell/projections/read"
)

// The facts about results that the rules of messages and documents look up. Each function looks up
// many keys at once, of any schools, and returns what there is for each of them, in their order. Years
// are compared as school years.

// ScoreFacts describe what a student has in an assessment.
type ScoreFacts struct {
	AssessmentID, Subject string
	Title                 string      // empty, like On, when the assessment was not announced
	On                    domain.Date //
	At                    time.Time   // when it was entered
	Kind                  marks.Kind
	Attempts              []marks.Attempt
}

const scoreFactsSQL read.SQL = `-- performance.facts_of_scores
SELECT q.n, s.assessment_id, s.subject, s.year, coalesce(a.title, ''), a.held_on, s.scored_at,
	s.entry, coalesce(a.scale, ''), coalesce(a.category, ''), coalesce(a.weight, 0)
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS q (school, id, term, n)
JOIN schoolbell.performance_scores s
	ON s.school = q.school AND s.student_id = q.id AND s.term = q.term
LEFT JOIN schoolbell.assessments a
	ON a.school = s.school AND a.assessment_id = s.assessment_id
ORDER BY q.n, s.subject, s.assessment_id`

// ScoreFactsOf returns the scores of each student in a term, by subject and assessment.
func ScoreFactsOf(
	ctx context.Context, tx pgx.Tx, schools, studentIDs, years, terms []string,
) ([][]ScoreFacts, error) {
	type row struct {
		ScoreFacts
		year            domain.Label
		entry           string
		scale, category string
		weight          domain.Decimal
	}
	found, err := read.PerKey(ctx, tx, len(studentIDs), scoreFactsSQL, func(s *row) []any {
		return []any{
			&s.AssessmentID, &s.Subject, &s.year, &s.Title, &s.On, &s.At, &s.entry,
			&s.scale, &s.category, &s.weight,
		}
	}, schools, studentIDs, terms)
	return ofYears(found, years, func(s row) (ScoreFacts, domain.Label) {
		var is entry
		is.read(s.entry)
		s.Kind = is.kind().Or(marks.Kind{Scale: s.scale, Category: s.category, Weight: s.weight})
		s.Attempts = is.results()
		return s.ScoreFacts, s.year
	}), err
}

// RemarkFacts are a teacher's remark on a student's term; on all of it when there is no subject.
type RemarkFacts struct{ Subject, Text string }

const remarkFactsSQL read.SQL = `-- performance.facts_of_remarks
SELECT q.n, r.year, r.subject, r.text
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS q (school, id, term, n)
JOIN schoolbell.performance_remarks r
	ON r.school = q.school AND r.student_id = q.id AND r.term = q.term
ORDER BY q.n, r.subject, r.year`

// RemarkFactsOf returns the remarks on each student in a term, by subject.
func RemarkFactsOf(
	ctx context.Context, tx pgx.Tx, schools, studentIDs, years, terms []string,
) ([][]RemarkFacts, error) {
	type row struct {
		RemarkFacts
		year domain.Label
	}
	found, err := read.PerKey(ctx, tx, len(studentIDs), remarkFactsSQL, func(r *row) []any {
		return []any{&r.year, &r.Subject, &r.Text}
	}, schools, studentIDs, terms)
	return ofYears(found, years,
		func(r row) (RemarkFacts, domain.Label) { return r.RemarkFacts, r.year }), err
}

// MarkFacts are what a student of a class has in an assessment that counts for the class.
type MarkFacts struct {
	StudentID, AssessmentID, Subject string
	Kind                             marks.Kind
	Attempts                         []marks.Attempt
}

const markFactsSQL read.SQL = `-- performance.facts_of_marks
SELECT q.n, s.year, s.term, s.class_id, s.subject, s.student_id, s.entries
FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS q (id, term, n)
JOIN performance_sheets s ON s.school = $1 AND s.class_id = q.id AND s.term = q.term`

// sectionFactsSQL reads what the students of home classes have in sections.
const sectionFactsSQL read.SQL = `-- performance.facts_of_section_marks
SELECT q.n, s.year, s.term, s.class_id, s.subject, s.student_id, s.entries
FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS q (id, term, n)
CROSS JOIN LATERAL once_in_home($1, q.id) h
JOIN performance_sheets s ON s.school = $1 AND s.student_id = h.student_id AND s.term = q.term
	AND s.class_id = ANY($4)`

// MarkFactsOf returns the scores that count for each home class or section in a term, by student,
// subject and assessment. A class is read once for the report cards of all of its students.
func MarkFactsOf(
	ctx context.Context, tx pgx.Tx, schools, classIDs, years, terms []string,
) ([][]MarkFacts, error) {
	all := make([][]MarkFacts, len(classIDs))
	bySchool := map[string][]int{}
	for i, school := range schools {
		bySchool[school] = append(bySchool[school], i)
	}
	for school, keys := range bySchool {
		if err := readMarkFacts(ctx, tx, school, keys, classIDs, years, terms, all); err != nil {
			return nil, err
		}
	}
	for i := range all {
		slices.SortFunc(all[i], func(a, b MarkFacts) int {
			return cmp.Or(cmp.Compare(a.StudentID, b.StudentID), cmp.Compare(a.Subject, b.Subject),
				cmp.Compare(a.AssessmentID, b.AssessmentID))
		})
	}
	return all, nil
}

// readMarkFacts reads the marks of those keys that are of one school into all.
func readMarkFacts(
	ctx context.Context, tx pgx.Tx, school string, keys []int, classIDs, years, terms []string,
	all [][]MarkFacts,
) error {
	f, err := newFiling(ctx, tx, school)
	if err != nil {
		return err
	}
	ids, named := make([]string, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		ids[i], named[i] = classIDs[key], terms[key]
	}
	found, err := read.PerKey(ctx, tx, len(keys), markFactsSQL, (*sheet).addresses, school, ids, named)
	if err == nil && len(f.sections) > 0 {
		var more [][]sheet
		more, err = read.PerKey(ctx, tx, len(keys), sectionFactsSQL, (*sheet).addresses, school, ids,
			named, f.sections)
		for i := range more {
			found[i] = append(found[i], more[i]...)
		}
	}
	if err == nil {
		err = f.readHomes(ctx, tx, school, found...)
	}
	if err != nil {
		return err
	}
	for i, key := range keys {
		own := slices.DeleteFunc(found[i], func(s sheet) bool {
			return domain.YearOf(s.year) != domain.YearOf(domain.Label(years[key]))
		})
		f.visit(own, ids[i], func(m *mark) {
			all[key] = append(all[key],
				MarkFacts{m.student, m.assessmentID, m.subject, m.kind, m.results()})
		})
	}
	return nil
}

// PublishedFacts say when the results of a term were published.
type PublishedFacts struct {
	Term domain.Label
	At   time.Time
}

const publishedFactsSQL read.SQL = `-- performance.facts_of_published
SELECT q.n, p.year, p.term, p.published_at
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.results_published p ON p.school = q.school AND p.class_id = q.id
ORDER BY q.n, p.published_at, p.term`

// PublishedFactsOf returns the terms of a year whose results were published to each class, in the
// order of publication.
func PublishedFactsOf(
	ctx context.Context, tx pgx.Tx, schools, classIDs, years []string,
) ([][]PublishedFacts, error) {
	type row struct {
		PublishedFacts
		year domain.Label
	}
	found, err := read.PerKey(ctx, tx, len(classIDs), publishedFactsSQL, func(p *row) []any {
		return []any{&p.year, &p.Term, &p.At}
	}, schools, classIDs)
	return ofYears(found, years,
		func(p row) (PublishedFacts, domain.Label) { return p.PublishedFacts, p.year }), err
}

// ofYears returns those facts of each key that are of its school year.
func ofYears[R, F any](found [][]R, years []string, fact func(R) (F, domain.Label)) [][]F {
	all := make([][]F, len(found))
	for i := range found {
		for _, row := range found[i] {
			if f, year := fact(row); domain.YearOf(year) == domain.YearOf(domain.Label(years[i])) {
				all[i] = append(all[i], f)
			}
		}
	}
	return all
}
