package verify

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/marks"
)

// score is what a student has in an assessment, and where it counts: as its latest attempt says.
type score struct {
	class, subject string
	term           term
	kind           marks.Kind
	at             time.Time // when it was first entered
	attempts       map[int64]marks.Attempt
	corrected      map[int64]bool // attempts that only corrections change
}

func (s *school) score(m *assessment.Scored, at time.Time, correction bool) {
	a := marks.Attempt{Number: max(m.Attempt, 1), Score: m.Score, Max: m.MaxScore}
	of, latest := s.attempt(m.StudentID, m.AssessmentID, at, a, correction)
	if of == nil {
		return
	}
	if latest {
		of.class, of.subject, of.term = m.ClassID, m.SubjectName, term{m.Year, m.Term}
	}
	for number, other := range of.attempts {
		if number > a.Number && other.Status == "" {
			return // of which kind the score is, a later one has said
		}
	}
	of.kind = marks.Kind{Scale: m.Scale, Category: m.Category, Weight: m.Weight}
}

func (s *school) unscored(m *assessment.Unscored, at time.Time) {
	a := marks.Attempt{Number: max(m.Attempt, 1), Status: m.Status}
	if of, latest := s.attempt(m.StudentID, m.AssessmentID, at, a, m.Correction); latest {
		of.class, of.subject, of.term = m.ClassID, m.SubjectName, term{m.Year, m.Term}
	}
}

// attempt sets an attempt, and reports whether it is the latest. It returns nil if it has been corrected.
func (s *school) attempt(
	student, id string, at time.Time, a marks.Attempt, correction bool,
) (of *score, latest bool) {
	of = entry(s.scores, student)[id]
	if of == nil {
		of = &score{
			at:       at.UTC().Truncate(time.Microsecond),
			attempts: map[int64]marks.Attempt{}, corrected: map[int64]bool{},
		}
		s.scores[student][id] = of
	}
	if of.corrected[a.Number] && !correction {
		return nil, false
	}
	of.attempts[a.Number], of.corrected[a.Number] = a, correction
	return of, a.Number == slices.Max(slices.Collect(maps.Keys(of.attempts)))
}

// results returns the attempts by number.
func (s *score) results() (all []marks.Attempt) {
	for _, number := range slices.Sorted(maps.Keys(s.attempts)) {
		all = append(all, s.attempts[number])
	}
	return all
}

// kindOf completes the kind of a score by that of its assessment.
func (s *school) kindOf(id string, of *score) marks.Kind {
	var is marks.Kind
	if a := s.announced[id]; a != nil {
		is = marks.Kind{Scale: a.Scale, Category: a.Category, Weight: a.Weight}
	}
	return of.kind.Or(is)
}

// scoresOf returns the scores of a student in a term, with what was announced of their assessments.
func (s *school) scoresOf(k consumers.TermKey) []consumers.Score {
	var all []consumers.Score
	for id, of := range s.scores[k.ID] {
		if !of.term.is(k.Year, k.Term) {
			continue
		}
		score := consumers.Score{
			AssessmentID: id, Subject: of.subject, At: of.at, Kind: s.kindOf(id, of),
			Attempts: of.results(),
		}
		if a := s.announced[id]; a != nil {
			score.Title, score.On = a.Title, a.On
		}
		all = append(all, score)
	}
	slices.SortFunc(all, func(a, b consumers.Score) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.AssessmentID, b.AssessmentID))
	})
	return all
}

// marksOf returns the scores that count for a class in a term.
func (s *school) marksOf(k consumers.TermKey) []consumers.Mark {
	var all []consumers.Mark
	for student, scores := range s.scores {
		for id, of := range scores {
			if of.term.is(k.Year, k.Term) &&
				(of.class == k.ID || s.countsFor(student, id, of) == k.ID) {
				all = append(all, consumers.Mark{
					StudentID: student, AssessmentID: id, Subject: of.subject,
					Kind: s.kindOf(id, of), Attempts: of.results(),
				})
			}
		}
	}
	slices.SortFunc(all, func(a, b consumers.Mark) int {
		return cmp.Or(cmp.Compare(a.StudentID, b.StudentID), cmp.Compare(a.Subject, b.Subject),
			cmp.Compare(a.AssessmentID, b.AssessmentID))
	})
	return all
}

// countsFor returns the home class for which a score counts: that which it names or, when this is a
// section, the student's on the day of the assessment or, when it was not announced, on the day on
// which the score was entered.
func (s *school) countsFor(student, id string, of *score) string {
	if !s.directory.section(of.class) {
		return of.class
	}
	day := domain.DateOf(of.at)
	if a := s.announced[id]; a != nil {
		day = a.On
	}
	return cmp.Or(s.directory.homeOn(student, day), of.class)
}
