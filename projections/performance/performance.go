// Package performance holds marks: how a class does in a subject, and how a student does. There is
// one score for a student, an assessment and an attempt; a later one replaces it, but a correction is
// replaced by corrections only.
//
// The fold stores what was entered, twice: a row for each score, and a sheet for each student,
// subject, class and term, so that all scores of a school are few rows. What they amount to is decided
// when a query runs, by the arithmetic of package marks: by then the school's rules, the kinds of
// assessments and the students' home classes are known, whichever came first.
//
// The first change for another statistic is in statistics.go; for another property of a score it is
// in entry.go.
package performance

import (
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/marks"
	"github.com/schoolbell/schoolbell/projections"
)

// Projection is the read model.
var Projection = projections.New("performance", 3,
	scores, sheets, assessments, remarks, published,
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *assessment.Scored) error {
		scored(b, e, m, false)
		return nil
	}),
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *assessment.ScoreCorrected) error {
		scored(b, e, (*assessment.Scored)(m), true)
		return nil
	}),
	projections.On(unscored),
	projections.On(scheduled),
	projections.On(remarked),
	projections.On(resultsPublished),
)

var (
	scores      = projections.NewTable[scoreKey, scoreRow]("performance_scores")
	sheets      = projections.NewTable[sheetKey, sheetRow]("performance_sheets")
	assessments = projections.NewTable[assessmentKey, assessmentRow]("assessments")
	remarks     = projections.NewTable[remarkKey, remarkRow]("performance_remarks")
	published   = projections.NewTable[publishedKey, publishedRow]("results_published")
)

type scoreKey struct {
	School       string `db:"school"`
	StudentID    string `db:"student_id"`
	AssessmentID string `db:"assessment_id"`
}

// scoreRow is a score where it counts: what the latest attempt names.
type scoreRow struct {
	Year    domain.Label `db:"year"`
	Term    domain.Label `db:"term"`
	ClassID string       `db:"class_id"`
	Subject string       `db:"subject"`
	Entry   string       `db:"entry"`
	At      time.Time    `db:"scored_at"` // for the first time, if it was corrected since
}

func (r *scoreRow) sheet(k scoreKey) sheetKey {
	return sheetKey{k.School, r.Year, r.Term, r.ClassID, r.Subject, k.StudentID}
}

// sheetKey is a student in a subject of a class and term.
type sheetKey struct {
	School    string       `db:"school"`
	Year      domain.Label `db:"year"`
	Term      domain.Label `db:"term"`
	ClassID   string       `db:"class_id"`
	Subject   string       `db:"subject"`
	StudentID string       `db:"student_id"`
}

type sheetRow struct {
	Entries string `db:"entries"`
}

func scored(b *projections.Batch, e *domain.Envelope, m *assessment.Scored, correction bool) {
	key := scoreKey{e.School, m.StudentID, m.AssessmentID}
	place := scoreRow{Year: m.Year, Term: m.Term, ClassID: m.ClassID, Subject: m.SubjectName}
	enter(b, e, key, place, attempt{
		Attempt:     marks.Attempt{Number: max(m.Attempt, 1), Score: m.Score, Max: m.MaxScore},
		extraCredit: m.ExtraCredit, corrected: correction,
	}, m)
}

func unscored(b *projections.Batch, e *domain.Envelope, m *assessment.Unscored) error {
	key := scoreKey{e.School, m.StudentID, m.AssessmentID}
	place := scoreRow{Year: m.Year, Term: m.Term, ClassID: m.ClassID, Subject: m.SubjectName}
	enter(b, e, key, place, attempt{
		Attempt:   marks.Attempt{Number: max(m.Attempt, 1), Status: m.Status},
		corrected: m.Correction,
	}, nil)
	return nil
}

// enter writes an attempt into the entry of its score, and the entry into the sheet where it counts: as
// the latest attempt says. Of what kind the score is, the latest one with a score says.
func enter(
	b *projections.Batch, e *domain.Envelope, key scoreKey, place scoreRow, a attempt,
	m *assessment.Scored,
) {
	is := entry{assessmentID: key.AssessmentID, day: domain.DateOf(e.Time.UTC())}
	old, exists := scores.Get(b, key)
	if exists {
		is.read(old.Entry)
	}
	if !is.enter(a) {
		return
	}
	row := old
	if a.Number == is.attempts[len(is.attempts)-1].Number {
		row = place
	}
	if m != nil && !is.scoredAfter(a.Number) {
		is.scale, is.category, is.weight = m.Scale, m.Category, m.Weight
	}
	row.Entry, row.At = is.String(), e.Time.UTC()
	if exists {
		row.At = old.At
	}
	if row == old {
		return
	}
	scores.Put(b, key, row)
	from, to := old.sheet(key), row.sheet(key)
	if exists && from != to {
		change(b, from, old.Entry, "")
		old.Entry = ""
	}
	change(b, to, old.Entry, row.Entry)
}

// change replaces an entry of a sheet, and removes the sheet when it has none.
func change(b *projections.Batch, key sheetKey, old, by string) {
	s, _ := sheets.Get(b, key)
	if s.Entries = replace(s.Entries, old, by); s.Entries == "" {
		sheets.Delete(b, key)
	} else {
		sheets.Put(b, key, s)
	}
}

type assessmentKey struct {
	School       string `db:"school"`
	AssessmentID string `db:"assessment_id"`
}

type assessmentRow struct {
	ClassID  string         `db:"class_id"`
	Subject  string         `db:"subject"`
	Title    string         `db:"title"`
	MaxScore domain.Decimal `db:"max_score"`
	HeldOn   domain.Date    `db:"held_on"`
	Year     domain.Label   `db:"year"`
	Term     domain.Label   `db:"term"`
	Scale    string         `db:"scale"`
	Category string         `db:"category"`
	Weight   domain.Decimal `db:"weight"`
}

func scheduled(b *projections.Batch, e *domain.Envelope, m *assessment.Scheduled) error {
	assessments.Put(b, assessmentKey{e.School, m.AssessmentID}, assessmentRow{
		m.ClassID, m.SubjectName, m.Title, m.MaxScore, m.On, m.Year, m.Term,
		m.Scale, m.Category, m.Weight,
	})
	return nil
}

type remarkKey struct {
	School    string       `db:"school"`
	StudentID string       `db:"student_id"`
	Year      domain.Label `db:"year"`
	Term      domain.Label `db:"term"`
	Subject   string       `db:"subject"` // none for what is said about all of the term
}

type remarkRow struct {
	Text string `db:"text"`
}

func remarked(b *projections.Batch, e *domain.Envelope, m *assessment.Remarked) error {
	key := remarkKey{e.School, m.StudentID, m.Year, m.Term, m.SubjectName}
	if m.Text == "" {
		remarks.Delete(b, key)
	} else {
		remarks.Put(b, key, remarkRow{m.Text})
	}
	return nil
}

type publishedKey struct {
	School  string       `db:"school"`
	ClassID string       `db:"class_id"`
	Year    domain.Label `db:"year"`
	Term    domain.Label `db:"term"`
}

type publishedRow struct {
	PublishedAt time.Time `db:"published_at"`
}

func resultsPublished(
	b *projections.Batch, e *domain.Envelope, m *assessment.ResultsPublished,
) error {
	key := publishedKey{e.School, m.ClassID, m.Year, m.Term}
	if _, already := published.Get(b, key); !already {
		published.Put(b, key, publishedRow{e.Time.UTC()})
	}
	return nil
}
