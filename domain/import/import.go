// Package imports holds the facts about packages of records that were brought in as a whole: what
// a package says about each person and class is in the facts of those.
package imports

import "github.com/schoolbell/schoolbell/domain"

// TypeApplied is the wire name of [Applied].
const TypeApplied = "schoolbell.import.applied.v1"

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Applied](TypeApplied, "All that differed in a package has been written.",
		domain.OffTimeline).ReservedForSchoolbell(),
}

// Applied: the plan of an import stands in the log up to here, whole.
type Applied struct {
	ImportID string `json:"import_id"`
	Source   string `json:"source" impersonal:"names a system"`   // of the events that the import made
	SHA256   string `json:"sha256"`                               // of the package
	Base     string `json:"base" impersonal:"a place in the log"` // the position of the tables that the plan was made against
	Counts   Counts `json:"counts"`
}

// Counts are how many rows of a package there were of each kind.
type Counts struct {
	Added     int64 `json:"added"`
	Changed   int64 `json:"changed"`
	Ended     int64 `json:"ended"` // withdrawn, unlinked, left or closed
	Unchanged int64 `json:"unchanged"`
	Refused   int64 `json:"refused"`
}

// Subject is the import.
func (e *Applied) Subject() string { return e.ImportID }

// Rooms are only the school's.
func (e *Applied) Rooms() []domain.Room { return nil }

// Validate implements [domain.Event].
func (e *Applied) Validate(f *domain.Faults) {
	f.Key("/import_id", e.ImportID)
	f.Text("/source", e.Source, domain.MaxTextLength)
	f.SHA256("/sha256", e.SHA256)
	f.ID("/base", e.Base)
	f.AtLeast("/counts/added", e.Counts.Added, 0)
	f.AtLeast("/counts/changed", e.Counts.Changed, 0)
	f.AtLeast("/counts/ended", e.Counts.Ended, 0)
	f.AtLeast("/counts/unchanged", e.Counts.Unchanged, 0)
	f.AtLeast("/counts/refused", e.Counts.Refused, 0)
}

// SeenBy shows it to nobody but the office.
func (e *Applied) SeenBy(domain.Audience) domain.Event { return nil }
