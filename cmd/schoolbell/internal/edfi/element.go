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
	// where a record begins in its file; zero below it
	line, column int
}

// renamed maps the names of Ed-Fi 3.x and 4.x onto those of 5.x, in which parents became contacts.
var renamed = map[string]string{
	"InterchangeParent":        "InterchangeContact",
	"Parent":                   "Contact",
	"ParentReference":          "ContactReference",
	"ParentIdentity":           "ContactIdentity",
	"ParentUniqueId":           "ContactUniqueId",
	"StudentParentAssociation": "StudentContactAssociation",
}

// nameOf returns the name that the rest of the package knows an element by.
func nameOf(local string) string {
	if now, ok := renamed[local]; ok {
		return now
	}
	return local
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
