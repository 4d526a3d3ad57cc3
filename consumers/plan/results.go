package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/marks"
)

// results plans a report card for each student of a class whose results are published, and a notice
// with its link to the primary guardian and the student.
var results = &rule{
	name:     "results",
	types:    []string{assessment.TypeResultsPublished},
	channels: noticeChannels,
	maxAge:   7,
	plan: func(d *draft) {
		r, ok := d.event.Data.(*assessment.ResultsPublished)
		if !ok || d.staleEvent() {
			return
		}
		for _, s := range d.Class(r.ClassID) {
			card := d.document(s.ID, s.ID, "", paper.KindReportCard, consumers.Bulk,
				paper.Encode(d.reportCard(s, r)))
			notice := message{
				template:  wording.Results,
				priority:  consumers.Bulk,
				about:     s.ID,
				topic:     topicOfResults(s.ID, r.Year, r.Term),
				student:   s.ID,
				dependsOn: card,
				params: wording.Params{
					Student: d.studentName(s.ID), Class: r.ClassID,
					Year: r.Year, Term: r.Term,
				},
			}
			d.tellFamily(s.ID, notice)
			if slices.Contains(d.channels(), consumers.InApp) {
				d.notify(person{id: s.ID}, notice, consumers.InApp)
			}
		}
	},
	still: func(w *review) string {
		student := w.delivery.About
		if w.delivery.Channel == consumers.PDF {
			w.renew(student)
		}
		return w.family(student, true)
	},
}

// renew makes the report card of what the marks are by now, if they have been changed since it was
// planned. The day of issue stays.
func (w *review) renew(studentID string) {
	planned, err := paper.Decode[paper.ReportCard](w.delivery.Params)
	if err != nil {
		panic(err) // we have written it ourselves
	}
	if planned.From.IsZero() || planned.To.IsZero() {
		return // a version before has planned it, and left open which days count
	}
	renewed := w.reportCard(w.Student(studentID), &assessment.ResultsPublished{
		ClassID: planned.Class, Year: planned.Year, Term: planned.Term,
		From: planned.From, To: planned.To,
	})
	renewed.IssuedOn = planned.IssuedOn
	if now := paper.Encode(renewed); string(now) != string(paper.Encode(planned)) {
		w.paper = now
	}
}

func topicOfResults(studentID string, year, term domain.Label) string {
	return strings.Join([]string{"results", studentID, string(year), string(term)}, "\t")
}

// resultsCorrected tells those who have a report card that a mark on it has been changed since. The
// school sends a new one by publishing the results again; a second change is told only after that.
var resultsCorrected = &rule{
	name:   "results_corrected",
	types:  []string{assessment.TypeScored, assessment.TypeScoreCorrected, assessment.TypeUnscored},
	maxAge: 7,
	plan: func(d *draft) {
		s, ok := scoreOf(d.event)
		if !ok || d.staleEvent() || !d.isPublished(s) || !d.holds(s) {
			return
		}
		d.retract(message{
			template: wording.ResultsCorrected,
			priority: consumers.Bulk,
			about:    s.StudentID,
			student:  s.StudentID,
			topic:    topicOfResults(s.StudentID, s.Year, s.Term),
			params: wording.Params{
				Student: d.studentName(s.StudentID), Class: d.Student(s.StudentID).ClassID,
				Year: s.Year, Term: s.Term,
			},
		})
	},
	still: func(w *review) string { return w.family(w.delivery.About, false) },
}

// changedScore is what an event that sets or removes a score says.
type changedScore struct {
	StudentID, AssessmentID, ClassID string
	Year, Term                       domain.Label
	marks.Attempt
}

// scoreOf returns what an event says of a score, whether for the first time or as a correction.
func scoreOf(e *domain.Envelope) (s changedScore, ok bool) {
	switch m := e.Data.(type) {
	case *assessment.Scored:
		return changedScore{
			m.StudentID, m.AssessmentID, m.ClassID, m.Year, m.Term,
			marks.Attempt{Number: max(m.Attempt, 1), Score: m.Score, Max: m.MaxScore},
		}, true
	case *assessment.ScoreCorrected:
		return scoreOf(&domain.Envelope{Data: (*assessment.Scored)(m)})
	case *assessment.Unscored:
		return changedScore{
			m.StudentID, m.AssessmentID, m.ClassID, m.Year, m.Term,
			marks.Attempt{Number: max(m.Attempt, 1), Status: m.Status},
		}, true
	}
	return s, false
}

// holds reports that the score is what the event says: a correction outranks an original that comes
// later, so that nothing has been changed by it.
func (d *draft) holds(s changedScore) bool {
	scores := d.Scores(s.StudentID, s.Year, s.Term)
	return !slices.ContainsFunc(scores, func(now consumers.Score) bool {
		return now.AssessmentID == s.AssessmentID && !slices.Contains(now.Attempts, s.Attempt)
	})
}

// isPublished reports that the term of a score has been published, to the class that it names or to
// the student's home class.
func (d *draft) isPublished(s changedScore) bool {
	for _, class := range []string{s.ClassID, d.Student(s.StudentID).ClassID} {
		if slices.ContainsFunc(d.Published(class, s.Year),
			func(p consumers.Published) bool { return p.Term == s.Term }) {
			return true
		}
	}
	return false
}

// period returns the days on which the attendance of a term is counted: those that the event names,
// else those of the term in the school's calendar. Otherwise they begin on the day after the class had
// its last results of the year, or with the school year, and end on the day when the results of the
// term were first published, so that every day is on exactly one report card.
func (d *draft) period(r *assessment.ResultsPublished) (from, to domain.Date) {
	for _, y := range d.Years() {
		for _, t := range y.Terms {
			if y.Year == r.Year && t.Term == r.Term {
				from, to = t.From, t.To
			}
		}
	}
	from, to = cmp.Or(r.From, from), cmp.Or(r.To, to)
	if !from.IsZero() && !to.IsZero() {
		return from, to
	}
	here := d.settings.Location()
	published := d.Published(r.ClassID, r.Year)
	if to.IsZero() {
		to = domain.DateOf(d.event.Time.In(here))
		for _, p := range published {
			if p.Term == r.Term {
				to = min(to, domain.DateOf(p.At.In(here)))
			}
		}
	}
	if from.IsZero() {
		from = d.yearStart(to)
		for _, p := range published {
			if day := domain.DateOf(p.At.In(here)); p.Term != r.Term && day < to {
				from = max(from, day.AddDays(1))
			}
		}
	}
	return from, to
}
