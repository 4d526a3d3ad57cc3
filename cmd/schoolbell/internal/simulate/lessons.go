package simulate

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
)

// subjects are taught in every class. Some are harder than others.
var subjects = [...]struct {
	name string
	mean float64
}{
	{"Mathematics", 0.62},
	{"Language", 0.67},
	{"Science", 0.65},
	{"History", 0.69},
	{"Geography", 0.70},
	{"Music", 0.78},
}

const subjectCount = len(subjects)

// kinds are the assessments that each class has in each subject in each term.
var kinds = [...]struct {
	name     string
	maxScore int64
	harder   float64
}{
	{"quiz", 20, 0},
	{"test", 50, 0.03},
	{"exam", 100, 0.05},
}

// notice is how many school days ahead an assessment is announced.
const notice = 5

// paper is one assessment of one class.
type paper struct {
	assessment.Scheduled
	subject, kind, term int
}

// lessons announces the assessments of the next week, holds those of today, and publishes a term's
// results.
func (s *School) lessons(today domain.Date) {
	term, day := term(s.index)
	for c := range s.classes {
		for subject := range subjects {
			for kind := range kinds {
				switch day {
				case paperDay(c, subject, kind) - notice:
					p := s.paper(c, subject, kind, term, s.calendar.days[s.index+notice])
					when := at(today, 11*time.Hour)
					s.emit(when, "scheduled-"+p.AssessmentID, assessment.TypeScheduled, &p.Scheduled)
				case paperDay(c, subject, kind):
					s.hold(s.paper(c, subject, kind, term, today), c, at(today, 12*time.Hour))
				}
			}
		}
	}
	if day == termDays-3 {
		for c := range s.classes {
			s.remark(c, term, at(today, 13*time.Hour))
			s.publish(c, term, at(today, 14*time.Hour))
		}
	}
}

// paperDay is the day of the term on which an assessment is held: classes and subjects take turns.
func paperDay(class, subject, kind int) int { return 12 + 16*kind + (5*class+7*subject)%10 }

func (s *School) paper(class, subject, kind, term int, on domain.Date) paper {
	id := fmt.Sprintf("%s-%d-%s-%s-%s", s.calendar.year, term+1, s.classes[class].id,
		subjects[subject].name, kinds[kind].name)
	return paper{
		Scheduled: assessment.Scheduled{
			AssessmentID: id,
			ClassID:      s.classes[class].id,
			SubjectName:  subjects[subject].name,
			Title:        subjects[subject].name + " " + kinds[kind].name,
			MaxScore:     domain.Decimal(kinds[kind].maxScore) * domain.DecimalUnit,
			On:           on,
			Year:         s.calendar.year,
			Term:         termLabels[term],
		},
		subject: subject, kind: kind, term: term,
	}
}

// hold scores the students who are present. Most of the others write a week later.
func (s *School) hold(p paper, class int, when time.Time) {
	for _, i := range s.classes[class].students {
		student := &s.students[i]
		switch {
		case student.gone:
		case !student.away:
			s.score(p, student, when)
		case s.r.Float64() < 0.7:
			s.later.at(when.AddDate(0, 0, 7), func(when time.Time) { s.score(p, student, when) })
		}
	}
}

// result is how well a student does.
func (s *School) result(p paper, student *pupil) *assessment.Scored {
	share := subjects[p.subject].mean - kinds[p.kind].harder +
		0.11*float64(student.ability) + 0.06*float64(student.aptitude[p.subject]) +
		0.02*float64(p.term) + 0.06*s.r.NormFloat64()
	return &assessment.Scored{
		AssessmentID: p.AssessmentID,
		StudentID:    student.id,
		ClassID:      p.ClassID,
		SubjectName:  p.SubjectName,
		Score:        domain.Decimal(math.Round(min(max(share, 0.02), 1)*p.MaxScore.Float64()*2)) * domain.DecimalUnit / 2,
		MaxScore:     p.MaxScore,
		Year:         p.Year,
		Term:         p.Term,
	}
}

func (s *School) score(p paper, student *pupil, when time.Time) {
	scored := s.result(p, student)
	id := p.AssessmentID + "-" + student.id
	s.emit(when, "scored-"+id, assessment.TypeScored, scored)
	if s.r.Float64() < 0.012 {
		s.later.at(when.AddDate(0, 0, 2), func(when time.Time) {
			corrected := assessment.ScoreCorrected(*scored)
			more := (corrected.MaxScore + 49*domain.DecimalUnit) / (50 * domain.DecimalUnit)
			corrected.Score = min(corrected.Score+more*domain.DecimalUnit, corrected.MaxScore)
			s.emit(when, "score-corrected-"+id, assessment.TypeScoreCorrected, &corrected)
		})
	}
}

// remarks are the class teachers' remarks on students below, at and above the average, with the
// subject that they are best at.
var remarks = [...]string{
	"A hard term. We have agreed on extra practice after lessons, and the first steps are good. Strongest in %s.",
	"Works steadily and takes part in class. More reading at home will help. Strongest in %s.",
	"Works with great care and helps others along. A pleasure to teach, above all in %s.",
}

// remark writes the class teacher's remarks for the report cards.
func (s *School) remark(class, term int, when time.Time) {
	c := &s.classes[class]
	for _, i := range c.students {
		p := &s.students[i]
		if p.gone {
			continue
		}
		of := 1
		switch {
		case p.ability < -0.8:
			of = 0
		case p.ability > 0.8:
			of = 2
		}
		best := 0
		for subject := range subjects {
			if p.aptitude[subject] > p.aptitude[best] {
				best = subject
			}
		}
		eventID := fmt.Sprintf("remark-%s-%d-%s", s.calendar.year, term+1, p.id)
		s.emit(when, eventID, assessment.TypeRemarked, &assessment.Remarked{
			StudentID: p.id, ClassID: c.id, Year: s.calendar.year, Term: termLabels[term],
			Text: fmt.Sprintf(remarks[of], subjects[best].name),
		})
	}
}

func (s *School) publish(class, term int, when time.Time) {
	c := &s.classes[class]
	id := "results-" + string(s.calendar.year) + "-" + strconv.Itoa(term+1) + "-" + c.id
	s.emit(when, id, assessment.TypeResultsPublished, &assessment.ResultsPublished{
		ClassID: c.id, Year: s.calendar.year, Term: termLabels[term],
	})
}
