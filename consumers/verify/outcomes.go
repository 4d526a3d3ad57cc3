package verify

import (
	"fmt"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/delivery"
	"github.com/schoolbell/schoolbell/domain/document"
)

// announced is what the log says about deliveries, apart from the events that led to them.
type announced struct {
	first    int64             // the offset of the first event that lists deliveries, -1 for none
	listed   map[string]string // by id, the school
	accepted map[string]string // by id, the provider's own id
	twice    map[string]string // by id, the other one that a provider has given it
	done     map[string]bool   // deliveries that were sent or rendered, and are never started again
}

func newAnnounced() *announced {
	return &announced{
		first: -1, listed: map[string]string{}, accepted: map[string]string{},
		twice: map[string]string{}, done: map[string]bool{},
	}
}

// add takes an event that the ledger has written.
func (a *announced) add(e *domain.Envelope) {
	switch m := e.Data.(type) {
	case *delivery.Planned:
		if a.first < 0 {
			a.first = e.Position.Offset
		}
		for _, id := range m.Deliveries {
			a.listed[id] = e.School
		}
	case *delivery.Sent:
		a.done[m.DeliveryID] = true
		if before := a.accepted[m.DeliveryID]; before != "" && before != m.ProviderID && m.ProviderID != "" {
			a.twice[m.DeliveryID] = fmt.Sprintf("%s has taken it as %s and as %s", m.Provider, before, m.ProviderID)
		}
		a.accepted[m.DeliveryID] = m.ProviderID
	case *delivery.Delivered:
		a.done[m.DeliveryID] = true
	case *document.Rendered:
		a.done[m.DocumentID] = true
	}
}

// compare finds what the log says and the ledger does not, and the reverse.
func (a *announced) compare(p *partition) {
	unknown := func(id string) *consumers.Delivery {
		return &consumers.Delivery{ID: id, School: a.listed[id]}
	}
	for id := range a.listed {
		_, stored := p.stored.Deliveries[id]
		_, expected := p.expected[id] // then it is missing
		if !stored && !expected && !p.stored.Past[id] {
			p.find("lost", unknown(id), "the log lists it, and the ledger does not have it")
		}
	}
	for id, state := range p.stored.States {
		d := p.stored.Deliveries[id]
		switch {
		case a.done[id] && (state == consumers.Sending || state == consumers.Unknown):
			p.find("undone", &d, "by the log it was sent or rendered, and the ledger has it as "+string(state))
		case a.first >= 0 && d.Position.Offset > a.first && a.listed[id] == "" && !p.stored.Pending[id]:
			p.find("unlisted", &d, "the ledger has it, and the log does not list it")
		}
	}
	for id, detail := range a.twice {
		d, ok := p.stored.Deliveries[id]
		if !ok {
			d = *unknown(id)
		}
		p.find("twice", &d, detail)
	}
}
