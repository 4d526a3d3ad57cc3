// Package document holds the facts about documents that Schoolbell has made. An event has the hash
// of the bytes and not the bytes: those are in the document store, under that hash.
package document

import "github.com/schoolbell/schoolbell/domain"

// TypeRendered is the wire name of [Rendered].
const TypeRendered = "schoolbell.document.rendered.v1"

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Rendered](TypeRendered, "A document for a student has been made and stored.",
		domain.OnTimeline).ReservedForSchoolbell(),
}

// Rendered: a document has been made and stored under the hash of its bytes.
type Rendered struct {
	DocumentID string `json:"document_id"`
	Kind       string `json:"kind" impersonal:"a kind of document"`
	StudentID  string `json:"student_id"`
	SHA256     string `json:"sha256"` // 64 hexadecimal digits in lower case
	Bytes      int64  `json:"bytes"`
}

// Subject is the student.
func (e *Rendered) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *Rendered) Rooms() []domain.Room {
	return domain.In(domain.RoomStudent, e.StudentID)
}

// Validate implements [domain.Event].
func (e *Rendered) Validate(f *domain.Faults) {
	f.Key("/document_id", e.DocumentID)
	f.ID("/kind", e.Kind)
	f.ID("/student_id", e.StudentID)
	f.SHA256("/sha256", e.SHA256)
	f.AtLeast("/bytes", e.Bytes, 1)
}

// SeenBy shows a document to the family it is for.
func (e *Rendered) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family)
}
