// Package assessment holds the facts about examinations and marks.
//
// Scores and remarks arrive over weeks and are seen by teachers; the family sees them from
// [ResultsPublished] on. So what they show is decided twice: live by SeenBy here, and in queries by
// what has been published. A change of one needs the other (projections/performance).
package assessment

import "github.com/schoolbell/schoolbell/domain"

// Wire names.
const (
	TypeScheduled        = "schoolbell.assessment.scheduled.v1"
	TypeScored           = "schoolbell.assessment.scored.v1"
	TypeScoreCorrected   = "schoolbell.assessment.score_corrected.v1"
	TypeUnscored         = "schoolbell.assessment.unscored.v1"
	TypeRemarked         = "schoolbell.assessment.remarked.v1"
	TypeResultsPublished = "schoolbell.assessment.results_published.v1"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Scheduled](TypeScheduled, "An assessment is announced to a class.",
		domain.OffTimeline),
	domain.NewFact[Scored](TypeScored, "A student gets a score in an assessment.",
		domain.OnTimeline),
	domain.NewFact[ScoreCorrected](TypeScoreCorrected, "A score is corrected.", domain.OnTimeline),
	domain.NewFact[Unscored](TypeUnscored,
		"A student has no score in an assessment: exempt, absent, or nothing was handed in.",
		domain.OnTimeline),
	domain.NewFact[Remarked](TypeRemarked,
		"A teacher remarks on a student's term, for the report card.", domain.OnTimeline),
	domain.NewFact[ResultsPublished](TypeResultsPublished,
		"The results of a class's term are published.", domain.OffTimeline),
}

// Scheduled: an assessment will be held in a class on a day. What it says of the scale, category and
// weight of its scores holds for those that do not say so themselves, whichever comes first. A scale
// other than percent is that of a test's own points, of letters that stand for numbers, or of what is
// derived from other scores: such scores are shown, and are in no average, rank or pass rate.
type Scheduled struct {
	AssessmentID string         `json:"assessment_id"`
	ClassID      string         `json:"class_id"`
	SubjectName  string         `json:"subject" impersonal:"what is taught"`
	Title        string         `json:"title" impersonal:"names an assessment"`
	MaxScore     domain.Decimal `json:"max_score"`
	On           domain.Date    `json:"on"`
	Year         domain.Label   `json:"year"`
	Term         domain.Label   `json:"term"`
	Scale        string         `json:"scale,omitzero" impersonal:"how scores are to be read"` // percent, or a name
	Category     string         `json:"category,omitzero" impersonal:"a kind of assessment"`
	Weight       domain.Decimal `json:"weight,omitzero"` // among its category; 1 without one
}

// Subject is the assessment.
func (e *Scheduled) Subject() string { return e.AssessmentID }

// Rooms is the class's.
func (e *Scheduled) Rooms() []domain.Room {
	return domain.In(domain.RoomClass, e.ClassID)
}

// Validate implements [domain.Event].
func (e *Scheduled) Validate(f *domain.Faults) {
	f.ID("/assessment_id", e.AssessmentID)
	f.ID("/class_id", e.ClassID)
	f.ID("/subject", e.SubjectName)
	f.Name("/title", e.Title)
	f.Score("/max_score", 0, e.MaxScore, false)
	f.Date("/on", e.On)
	f.Label("/year", e.Year)
	f.Label("/term", e.Term)
	validateKind(f, e.Scale, e.Category, e.Weight)
}

func validateKind(f *domain.Faults, scale, category string, weight domain.Decimal) {
	f.OptionalID("/scale", scale)
	f.OptionalID("/category", category)
	f.OptionalWeight("/weight", weight)
}

// MaxAttempts is how often a student may try an assessment.
const MaxAttempts = 20

// Scored: a student gets a score. There is one score for a student, an assessment and an attempt, of
// which there is one unless the assessment is retaken: a later one replaces it, but not a correction.
type Scored struct {
	AssessmentID string         `json:"assessment_id"`
	StudentID    string         `json:"student_id"`
	ClassID      string         `json:"class_id"`
	SubjectName  string         `json:"subject" impersonal:"what is taught"`
	Score        domain.Decimal `json:"score"`
	MaxScore     domain.Decimal `json:"max_score"`
	Year         domain.Label   `json:"year"`
	Term         domain.Label   `json:"term"`
	Attempt      int64          `json:"attempt,omitzero"` // from 1 on, which is also that without one
	ExtraCredit  bool           `json:"extra_credit,omitzero"`
	Scale        string         `json:"scale,omitzero" impersonal:"how scores are to be read"` // percent, or a name
	Category     string         `json:"category,omitzero" impersonal:"a kind of assessment"`
	Weight       domain.Decimal `json:"weight,omitzero"` // among its category; 1 without one
}

// Subject is the student.
func (e *Scored) Subject() string { return e.StudentID }

// Rooms are the student's and the class's.
func (e *Scored) Rooms() []domain.Room { return domain.StudentAndClass(e.StudentID, e.ClassID) }

// Validate implements [domain.Event].
func (e *Scored) Validate(f *domain.Faults) { validate(f, e) }

// ScoreCorrected replaces the score of the same student and assessment.
type ScoreCorrected Scored

// Subject is the student.
func (e *ScoreCorrected) Subject() string { return e.StudentID }

// Rooms are the student's and the class's.
func (e *ScoreCorrected) Rooms() []domain.Room { return domain.StudentAndClass(e.StudentID, e.ClassID) }

// Validate implements [domain.Event].
func (e *ScoreCorrected) Validate(f *domain.Faults) { validate(f, (*Scored)(e)) }

func validate(f *domain.Faults, s *Scored) {
	f.ID("/assessment_id", s.AssessmentID)
	f.ID("/student_id", s.StudentID)
	f.ID("/class_id", s.ClassID)
	f.ID("/subject", s.SubjectName)
	f.Score("/score", s.Score, s.MaxScore, s.ExtraCredit)
	f.Label("/year", s.Year)
	f.Label("/term", s.Term)
	f.Between("/attempt", s.Attempt, 0, MaxAttempts)
	validateKind(f, s.Scale, s.Category, s.Weight)
}

// The reasons why there is no score.
const (
	Exempt  = "exempt"  // it does not count for the student
	Missing = "missing" // nothing was handed in
	Absent  = "absent"  // the student was not there
)

// Unscored: a student has no score in an assessment, or an attempt at it. It takes the place of a
// score like another one, and a later score takes its place. As a correction it outranks scores that
// come later, like [ScoreCorrected].
type Unscored struct {
	AssessmentID string       `json:"assessment_id"`
	StudentID    string       `json:"student_id"`
	ClassID      string       `json:"class_id"`
	SubjectName  string       `json:"subject" impersonal:"what is taught"`
	Status       string       `json:"status"`
	Year         domain.Label `json:"year"`
	Term         domain.Label `json:"term"`
	Attempt      int64        `json:"attempt,omitzero"`
	Correction   bool         `json:"correction,omitzero"`
}

// Subject is the student.
func (e *Unscored) Subject() string { return e.StudentID }

// Rooms are the student's and the class's.
func (e *Unscored) Rooms() []domain.Room { return domain.StudentAndClass(e.StudentID, e.ClassID) }

// Validate implements [domain.Event].
func (e *Unscored) Validate(f *domain.Faults) {
	f.ID("/assessment_id", e.AssessmentID)
	f.ID("/student_id", e.StudentID)
	f.ID("/class_id", e.ClassID)
	f.ID("/subject", e.SubjectName)
	f.OneOf("/status", e.Status, Exempt, Missing, Absent)
	f.Label("/year", e.Year)
	f.Label("/term", e.Term)
	f.Between("/attempt", e.Attempt, 0, MaxAttempts)
}

// Remarked: a teacher has something to say about how a student did in a term, in a subject or,
// without one, as a whole. There is one remark of each: a later one replaces it, and an empty one
// takes it back.
type Remarked struct {
	StudentID   string       `json:"student_id"`
	ClassID     string       `json:"class_id"`
	SubjectName string       `json:"subject,omitzero" impersonal:"what is taught"`
	Year        domain.Label `json:"year"`
	Term        domain.Label `json:"term"`
	Text        string       `json:"text" whose:"student"`
}

// MaxRemarkLength is how many bytes a remark may have: a paragraph on a report card.
const MaxRemarkLength = 2000

// Subject is the student.
func (e *Remarked) Subject() string { return e.StudentID }

// Rooms are the student's and the class's.
func (e *Remarked) Rooms() []domain.Room { return domain.StudentAndClass(e.StudentID, e.ClassID) }

// Validate implements [domain.Event].
func (e *Remarked) Validate(f *domain.Faults) {
	f.ID("/student_id", e.StudentID)
	f.ID("/class_id", e.ClassID)
	f.OptionalID("/subject", e.SubjectName)
	f.Label("/year", e.Year)
	f.Label("/term", e.Term)
	f.OptionalText("/text", e.Text, MaxRemarkLength)
}

// ResultsPublished: the results of a class's term may be seen by students and guardians from now
// on. From and To are the days of the term that the report cards count attendance in; without them
// it is counted from where the cards before ended, or the school year began, up to this event.
type ResultsPublished struct {
	ClassID string       `json:"class_id"`
	Year    domain.Label `json:"year"`
	Term    domain.Label `json:"term"`
	From    domain.Date  `json:"from,omitzero"`
	To      domain.Date  `json:"to,omitzero"`
}

// Subject is the class.
func (e *ResultsPublished) Subject() string { return e.ClassID }

// Rooms is the class's.
func (e *ResultsPublished) Rooms() []domain.Room {
	return domain.In(domain.RoomClass, e.ClassID)
}

// Validate implements [domain.Event].
func (e *ResultsPublished) Validate(f *domain.Faults) {
	f.ID("/class_id", e.ClassID)
	f.Label("/year", e.Year)
	f.Label("/term", e.Term)
	f.OptionalDate("/from", e.From)
	f.OptionalDate("/to", e.To)
	open := e.From.IsZero() || e.To.IsZero()
	f.Check("/to", open || e.To >= e.From && e.To <= e.From.AddDays(longestTerm),
		"must not lie before from, nor more than a year after it")
}

const longestTerm = 366 // days

// SeenBy shows it to all of the class.
func (e *Scheduled) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self, domain.Family, domain.Teaching, domain.Public)
}

// SeenBy shows a score to teachers. The family reads it once the results are published.
func (e *Scored) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Teaching)
}

// SeenBy shows a score to teachers. The family reads it once the results are published.
func (e *ScoreCorrected) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Teaching)
}

// SeenBy shows it to teachers. The family reads it once the results are published.
func (e *Unscored) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Teaching)
}

// Graded says that it holds marks.
func (e *Unscored) Graded() {}

// Graded says that it holds marks.
func (e *Scored) Graded() {}

// Graded says that it holds marks.
func (e *ScoreCorrected) Graded() {}

// Graded says that it holds marks.
func (e *Remarked) Graded() {}

// SeenBy shows a remark to teachers. The family reads it on the report card.
func (e *Remarked) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Teaching)
}

// SeenBy shows it to all of the class: it names no student's results.
func (e *ResultsPublished) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self, domain.Family, domain.Teaching, domain.Public)
}
