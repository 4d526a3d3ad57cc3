package delivery

import "github.com/schoolbell/schoolbell/domain"

// TypePlanned is the wire name of [Planned].
const TypePlanned = "schoolbell.delivery.planned.v1"

// MaxPlanned is how many deliveries one event lists. It keeps the record below Kafka's usual limit.
const MaxPlanned = 5000

// Planned: deliveries are in the ledger, and from now on a provider may be called for each of them.
// It is in the log before any is. A ledger that was lost or set back learns from it, and from the
// outcomes, what may have been sent.
type Planned struct {
	// Through is the position up to which all events of the partition have been planned; empty
	// when there is none. What follows from them is listed here, or in an earlier event like this.
	Through    string   `json:"through,omitzero" impersonal:"a place in the log"`
	Deliveries []string `json:"deliveries" impersonal:"ids"`
}

// Subject is the first delivery.
func (e *Planned) Subject() string {
	if len(e.Deliveries) == 0 {
		return ""
	}
	return e.Deliveries[0]
}

// Rooms are none but the school's.
func (e *Planned) Rooms() []domain.Room { return nil }

// SeenBy shows it to nobody but the office.
func (e *Planned) SeenBy(domain.Audience) domain.Event { return nil }

// Validate implements [domain.Event].
func (e *Planned) Validate(f *domain.Faults) {
	f.OptionalID("/through", e.Through)
	f.Check("/deliveries", len(e.Deliveries) > 0 && len(e.Deliveries) <= MaxPlanned,
		"must have 1 to %d entries", MaxPlanned)
	for _, id := range e.Deliveries {
		if id == "" || len(id) > domain.MaxIDLength {
			f.Add("/deliveries", "has an entry that is no id of a delivery")
			break
		}
	}
}
