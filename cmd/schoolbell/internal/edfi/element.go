package edfi

import (
	"strings"
)

// element is an XML element with its content. Ed-Fi has no mixed content: an element holds text or
// other elements.
type element struct {
	name string
	id   string // the XML id that references in the same interchange use
	ref  string
	text string
	kids []element
}

// at returns the first element on a path below e, or an empty one, so that paths can be followed
// without checks.
func (e *element) at(path ...string) *element {
next:
	for _, name := range path {
		for i := range e.kids {
			if e.kids[i].name == name {
				e = &e.kids[i]
				continue next
			}
		}
		return &element{}
	}
	return e
}

// str returns the text of the first element on a path.
func (e *element) str(path ...string) string { return e.at(path...).text }

// code returns the code value of a descriptor: "Tardy" of
// "uri://ed-fi.org/AttendanceEventCategoryDescriptor#Tardy".
func (e *element) code(path ...string) string { return codeValue(e.str(path...)) }

// all returns the direct children with a name.
func (e *element) all(name string) func(yield func(*element) bool) {
	return func(yield func(*element) bool) {
		for i := range e.kids {
			if e.kids[i].name == name && !yield(&e.kids[i]) {
				return
			}
		}
	}
}

func codeValue(descriptor string) string {
	if i := strings.LastIndexByte(descriptor, '#'); i >= 0 {
		return descriptor[i+1:]
	}
	return descriptor
}
