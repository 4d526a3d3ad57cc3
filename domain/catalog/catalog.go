// Package catalog lists every event of Schoolbell by its wire name. It is the single place that the
// codec, the schemas, AsyncAPI, the documentation and the data of the tests are made from. A new
// context is one line in facts, with its import.
package catalog

import (
	"fmt"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/announcement"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/delivery"
	"github.com/schoolbell/schoolbell/domain/document"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/domain/guardian"
	imports "github.com/schoolbell/schoolbell/domain/import"
	"github.com/schoolbell/schoolbell/domain/log"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/school"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
)

var facts = slices.Concat(
	student.Facts,
	guardian.Facts,
	staff.Facts,
	class.Facts,
	membership.Facts,
	school.Facts,
	imports.Facts,
	calendar.Facts,
	attendance.Facts,
	assessment.Facts,
	fee.Facts,
	announcement.Facts,
	delivery.Facts,
	document.Facts,
	log.Facts,
)

var byType = index(facts)

func index(facts []domain.Fact) map[string]*domain.Fact {
	m := make(map[string]*domain.Fact, len(facts))
	for i, f := range facts {
		if m[f.Type] != nil {
			panic("event type " + f.Type +
				" is listed twice in domain/catalog; a wire name is used once")
		}
		m[f.Type] = &facts[i]
	}
	return m
}

// Facts returns every version of every event type, in the catalogue's order. The caller must not
// change it.
func Facts() []domain.Fact { return facts }

// Lookup finds a fact by its wire name.
func Lookup(wireType string) (*domain.Fact, bool) {
	f, ok := byType[wireType]
	return f, ok
}

// Upcast turns the data of any version into that of the newest one and returns that version's fact.
func Upcast(f *domain.Fact, e domain.Event) (*domain.Fact, domain.Event) {
	for f.Upcast != nil {
		e = f.Upcast(e)
		f = next(f)
	}
	return f, e
}

func next(f *domain.Fact) *domain.Fact {
	context, fact, version := f.Name()
	n, ok := Lookup(fmt.Sprintf("schoolbell.%s.%s.v%d", context, fact, version+1))
	if !ok {
		panic("event type " + f.Type +
			" has an upcaster, but its context lists no next version for it")
	}
	return n
}
