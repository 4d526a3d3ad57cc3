package plan

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
)

// document plans a document of a student and returns the id of its delivery, for the message that
// depends on it. It is written in the language of the primary guardian. Once is as in a message.
func (d *draft) document(studentID, about, once, kind string, priority consumers.Priority,
	params jsontext.Value,
) string {
	language := ""
	if people := d.primary(studentID); len(people) > 0 {
		language = people[0].language
	}
	d.add(person{id: studentID, language: language}, consumers.PDF, "",
		message{template: kind, priority: priority, about: about, student: studentID, once: once})
	last := &d.deliveries[len(d.deliveries)-1]
	last.Params = params
	planned := *last
	planned.Complete(d.event, d.rule.name)
	return planned.ID
}

// head returns the head of a document of a student.
func (d *draft) head(studentID string) paper.Head {
	return paper.Head{
		School:    d.schoolName(),
		Logo:      d.settings.Logo,
		StudentID: studentID,
		Student:   d.studentName(studentID),
		Class:     d.Student(studentID).ClassID,
		IssuedOn:  d.Today(),
	}
}
