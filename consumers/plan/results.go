package plan

import (
	"math"
	"slices"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
)

// results makes a report card for each student of a class whose results are published, and tells the primary guardian
// and the student where it is, once it is there.
var results = &rule{
	name:     "results",
	types:    []string{assessment.TypeResultsPublished},
	channels: notices,
	maxAge:   7,
	plan: func(d *draft) {
		r, ok := d.event.Data.(*assessment.ResultsPublished)
		if !ok || d.oldEvent() {
			return
		}
		for _, s := range d.Class(r.ClassID) {
			card := d.document(s.ID, s.ID, paper.KindReportCard, consumers.Bulk, paper.Params(d.reportCard(s, r)))
			tell := message{
				wording:   wording.Results,
				priority:  consumers.Bulk,
				about:     s.ID,
				dependsOn: card,
				facts:     wording.Facts{Student: d.nameOf(s.ID), Class: r.ClassID, Year: r.Year, Term: r.Term},
			}
			d.tellFirst(d.primary(s.ID), tell, d.channels()...)
			if slices.Contains(d.channels(), consumers.InApp) {
				d.tell(person{id: s.ID}, tell, consumers.InApp)
			}
		}
	},
}

func (d *draft) reportCard(s consumers.Student, r *assessment.ResultsPublished) paper.ReportCard {
	rank := d.Rank(s.ID, r.ClassID, r.Year, r.Term)
	card := paper.ReportCard{
		Head:       d.head(s.ID),
		BirthDate:  s.BirthDate,
		GradeLevel: s.GradeLevel,
		Year:       r.Year,
		Term:       r.Term,
		Average:    rounded(rank.Percent),
		Place:      rank.Place,
		Of:         rank.Of,
		Attendance: paper.Attendance(d.Attendance(s.ID)),
	}
	card.Class = r.ClassID
	for _, a := range d.Averages(s.ID, r.Year, r.Term) {
		card.Subjects = append(card.Subjects, paper.Subject{Name: a.Subject, Percent: rounded(a.Percent), Scores: a.Scores})
	}
	return card
}

// rounded keeps two decimals: what is printed, and the same on every machine.
func rounded(percent float64) float64 { return math.Round(100*percent) / 100 }

// document plans a document of a student and returns the id of its delivery, for what depends on it. It is written in the
// language of whoever reads it first.
func (d *draft) document(studentID, about, kind string, priority consumers.Priority, params map[string]any) string {
	language := ""
	if people := d.primary(studentID); len(people) > 0 {
		language = people[0].language
	}
	d.add(person{id: studentID, language: language}, consumers.PDF, "", message{wording: kind, priority: priority, about: about})
	last := &d.list[len(d.list)-1]
	last.Params = params
	return consumers.DeliveryID(d.event, d.rule.name, studentID, consumers.PDF, about)
}

// head is how a document of a student begins.
func (d *draft) head(studentID string) paper.Head {
	return paper.Head{
		School:    d.school(),
		Logo:      d.settings.Logo,
		StudentID: studentID,
		Student:   d.nameOf(studentID),
		Class:     d.Student(studentID).ClassID,
		IssuedOn:  domain.DateOf(d.Now().In(d.settings.Location())),
	}
}
