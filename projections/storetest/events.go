package storetest

import (
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/log"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// epoch is when the events of the tests begin.
var epoch = time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)

// Event puts data into an envelope. N makes it unique within the school.
func Event(school string, n int, data domain.Event) *domain.Envelope {
	e := &domain.Envelope{
		ID: fmt.Sprintf("event-%d", n), Source: "/test", School: school, Subject: data.Subject(),
		Time: epoch.Add(time.Duration(n) * 1234567 * time.Nanosecond), Data: data,
	}
	switch data.(type) {
	case *attendance.Marked:
		e.Type = attendance.TypeMarked
	case *student.Enrolled:
		e.Type = student.TypeEnrolled
	case *student.Withdrawn:
		e.Type = student.TypeWithdrawn
	case *log.EventSkipped:
		e.Type, e.Source = log.TypeEventSkipped, "schoolbell/operators"
	}
	return e
}

// Mark is a mark of a pupil on the day-th school day.
func Mark(pupil string, day int, status, reason string) *attendance.Marked {
	return &attendance.Marked{
		StudentID: pupil, ClassID: "7A", Date: domain.NewDate(2026, 9, 1+day), Session: "day",
		Status: status, Reason: reason,
	}
}

// Enrol is a pupil's enrolment.
func Enrol(pupil, class string) *student.Enrolled {
	return &student.Enrolled{
		StudentID: pupil, GivenName: "Zoë", FamilyName: "李 \"O'Neil\"",
		ClassID: class, On: domain.NewDate(2026, 9, 1),
	}
}

// Withdraw is a pupil's leaving.
func Withdraw(pupil string) *student.Withdrawn {
	return &student.Withdrawn{StudentID: pupil, On: domain.NewDate(2026, 10, 1)}
}

// Skip says that an event is folded by nobody.
func Skip(at domain.Position) *log.EventSkipped {
	return &log.EventSkipped{Position: at.String(), Reason: "so decided"}
}

// Record encodes an event as it is in the log. It panics on an event that cannot be encoded.
func Record(e *domain.Envelope) eventlog.Record {
	rec, err := cloudevents.Encode(e)
	if err != nil {
		panic(err)
	}
	return rec
}
