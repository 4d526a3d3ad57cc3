// Package performance holds marks: how a class does in a subject, and how a student does. There is
// one score for a student and an assessment; a later one, or a correction, replaces it.
//
// Scores of different assessments are compared as percentages of the maximum score. They are stored
// as whole basis points (hundredths of a percent) and summed as integers, so that taking a
// corrected score out of a sum leaves exactly what was there without it.
//
// A score is folded into its row, and the difference into the sums of its group, of its student in the
// class, and of its student over all years. Queries read sums only: means, deviations and pass rates
// need no row for each score. The first change for another statistic is a column of groupRow, with what
// it adds in count.
package performance

import (
	"math"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/projections"
)

// Projection is the read model.
var Projection = projections.New("performance", 2,
	scores, byGroup, byStudent, totals, assessments, remarks, published,
	projections.On(scored),
	projections.On(func(b *projections.Batch, e *domain.Envelope,
		m *assessment.ScoreCorrected,
	) error {
		return scored(b, e, (*assessment.Scored)(m))
	}),
	projections.On(scheduled),
	projections.On(remarked),
	projections.On(resultsPublished),
)

var (
	scores      = projections.NewTable[scoreKey, scoreRow]("performance_scores")
	byGroup     = projections.NewTable[groupKey, groupRow]("performance_groups")
	byStudent   = projections.NewTable[studentKey, Sum]("performance_students")
	totals      = projections.NewTable[totalKey, Sum]("performance_totals")
	assessments = projections.NewTable[assessmentKey, assessmentRow]("assessments")
	remarks     = projections.NewTable[remarkKey, remarkRow]("performance_remarks")
	published   = projections.NewTable[publishedKey, publishedRow]("results_published")
)

type scoreKey struct {
	School       string `db:"school"`
	StudentID    string `db:"student_id"`
	AssessmentID string `db:"assessment_id"`
}

type scoreRow struct {
	Year     domain.Label `db:"year"`
	Term     domain.Label `db:"term"`
	ClassID  string       `db:"class_id"`
	Subject  string       `db:"subject"`
	Points   int64        `db:"points"` // basis points: 10,000 is the maximum score
	Score    float64      `db:"score"`
	MaxScore float64      `db:"max_score"`
	At       time.Time    `db:"scored_at"` // for the first time, if it was corrected since
}

// groupKey is a subject in a class in a term.
type groupKey struct {
	School  string       `db:"school"`
	Year    domain.Label `db:"year"`
	Term    domain.Label `db:"term"`
	ClassID string       `db:"class_id"`
	Subject string       `db:"subject"`
}

type groupRow struct {
	Scores  int64 `db:"scores"`
	Points  int64 `db:"points"`  // the sum
	Squares int64 `db:"squares"` // the sum of the squares
	// numbers of scores below 10 %, below 20 % and so on; 100 % is in the last
	Buckets [10]int64 `db:"buckets"`
}

type studentKey struct {
	School    string       `db:"school"`
	Year      domain.Label `db:"year"`
	Term      domain.Label `db:"term"`
	ClassID   string       `db:"class_id"`
	Subject   string       `db:"subject"`
	StudentID string       `db:"student_id"`
}

// totalKey is a student over all years.
type totalKey struct {
	School    string `db:"school"`
	StudentID string `db:"student_id"`
}

// Sum is a number of scores and their sum in basis points.
type Sum struct {
	Scores int64 `db:"scores"`
	Points int64 `db:"points"`
}

// Low reports an average below 50 %.
func (s Sum) Low() bool { return 2*s.Points < fullMarks*s.Scores }

// OfStudent returns a student's sum to the fold of a projection that reads this one.
func OfStudent(b *projections.Batch, school, studentID string) Sum {
	s, _ := totals.Get(b, totalKey{school, studentID})
	return s
}

const fullMarks = 10_000 // basis points

func scored(b *projections.Batch, e *domain.Envelope, m *assessment.Scored) error {
	key := scoreKey{e.School, m.StudentID, m.AssessmentID}
	score := scoreRow{
		Year: m.Year, Term: m.Term, ClassID: m.ClassID, Subject: m.SubjectName,
		Points: int64(math.Round(m.Score / m.MaxScore * fullMarks)), Score: m.Score,
		MaxScore: m.MaxScore, At: e.Time.UTC(),
	}
	old, replaces := scores.Get(b, key)
	if replaces {
		score.At = old.At
	}
	if replaces && old == score {
		return nil
	}
	scores.Put(b, key, score)
	if replaces {
		count(b, key, old, -1)
	}
	count(b, key, score, +1)
	return nil
}

func count(b *projections.Batch, key scoreKey, s scoreRow, n int64) {
	group := groupKey{key.School, s.Year, s.Term, s.ClassID, s.Subject}
	g, _ := byGroup.Get(b, group)
	g.Scores += n
	g.Points += n * s.Points
	g.Squares += n * s.Points * s.Points
	g.Buckets[min(s.Points*10/fullMarks, 9)] += n
	if g.Scores == 0 {
		byGroup.Delete(b, group)
	} else {
		byGroup.Put(b, group, g)
	}
	add(b, byStudent, studentKey{key.School, s.Year, s.Term, s.ClassID, s.Subject, key.StudentID},
		s.Points, n)
	add(b, totals, totalKey{key.School, key.StudentID}, s.Points, n)
}

// add changes a sum, and removes it when it is of nothing.
func add[K comparable](
	b *projections.Batch, table *projections.Table[K, Sum], key K, points, n int64,
) {
	s, _ := table.Get(b, key)
	s.Scores += n
	s.Points += n * points
	if s.Scores == 0 {
		table.Delete(b, key)
		return
	}
	table.Put(b, key, s)
}

type assessmentKey struct {
	School       string `db:"school"`
	AssessmentID string `db:"assessment_id"`
}

type assessmentRow struct {
	ClassID  string       `db:"class_id"`
	Subject  string       `db:"subject"`
	Title    string       `db:"title"`
	MaxScore float64      `db:"max_score"`
	HeldOn   domain.Date  `db:"held_on"`
	Year     domain.Label `db:"year"`
	Term     domain.Label `db:"term"`
}

func scheduled(b *projections.Batch, e *domain.Envelope, m *assessment.Scheduled) error {
	assessments.Put(b, assessmentKey{e.School, m.AssessmentID},
		assessmentRow{m.ClassID, m.SubjectName, m.Title, m.MaxScore, m.On, m.Year, m.Term})
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
