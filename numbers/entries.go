package numbers

import (
	"cmp"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
)

// stated is one event that says something about an id.
type stated[T comparable] struct {
	event   *domain.Envelope
	content T
}

// instant is an event's time as it counts: to the microsecond.
func instant(e *domain.Envelope) time.Time { return e.Time.UTC().Truncate(time.Microsecond) }

// later orders events by their time, and then by their position.
func later(a, b *domain.Envelope) int {
	return cmp.Or(instant(a).Compare(instant(b)), cmp.Compare(a.Position.Offset, b.Position.Offset))
}

// held is what an id says at last: the content of the latest event, by the time of the earliest event
// with this content, which is the one that made it.
type held[T comparable] struct {
	content  T
	at       time.Time
	position int64
	made     *domain.Envelope   // the earliest event with this content, by position
	events   []*domain.Envelope // all of the id
}

func hold[T comparable](all []stated[T]) held[T] {
	latest := slices.MaxFunc(all, func(a, b stated[T]) int { return later(a.event, b.event) })
	h := held[T]{content: latest.content}
	for _, s := range all {
		h.events = append(h.events, s.event)
		if s.content != latest.content {
			continue
		}
		if at := instant(s.event); h.made == nil || at.Before(h.at) {
			h.at = at
		}
		if h.made == nil || s.event.Position.Offset < h.position {
			h.made, h.position = s.event, s.event.Position.Offset
		}
	}
	return h
}

// The facts about money, without their ids.
type (
	charge struct {
		Student, Category, Currency string
		Year, Term                  domain.Label
		Amount                      int64
		DueOn                       domain.Date
	}
	entryTerms struct {
		Kind, Invoice, Student, Currency, Method, Reason, Category string
		Year, Term                                                 domain.Label
		Amount                                                     int64
		DueOn                                                      domain.Date
	}
	entryID struct{ kind, id string }
)

// Kinds of entries, in the order in which those of the same time and position count.
const (
	cancellation = "cancellation"
	changing     = "change"
	crediting    = "credit"
	paying       = "payment"
	refunding    = "refund"
	waiving      = "waiver"
)

// entry is what an id other than an invoice's says about one.
type entry struct {
	entryID
	held[entryTerms]
	reversals []*domain.Envelope
}

// books are all facts about money of a school.
type books struct {
	invoices  map[string][]stated[charge]
	entries   map[entryID][]stated[entryTerms]
	reversals map[entryID][]*domain.Envelope
}

// read takes in the events before a moment.
func readBooks(events []*domain.Envelope, before time.Time) *books {
	b := &books{
		map[string][]stated[charge]{},
		map[entryID][]stated[entryTerms]{},
		map[entryID][]*domain.Envelope{},
	}
	for _, e := range events {
		if instant(e).Before(before) {
			b.take(e)
		}
	}
	return b
}

func (b *books) take(e *domain.Envelope) {
	say := func(kind, id string, t entryTerms) {
		t.Kind = kind
		b.entries[entryID{kind, id}] = append(b.entries[entryID{kind, id}], stated[entryTerms]{e, t})
	}
	switch m := e.Data.(type) {
	case *fee.Invoiced:
		b.invoices[m.InvoiceID] = append(b.invoices[m.InvoiceID], stated[charge]{e, charge{
			m.StudentID, m.Category, m.Currency, m.Year, m.Term, m.Amount, m.DueOn,
		}})
	case *fee.InvoiceChanged:
		say(changing, m.ChangeID, entryTerms{
			Invoice: m.InvoiceID, Student: m.StudentID, Year: m.Year, Term: m.Term,
			Category: m.Category, Amount: m.Amount, Currency: m.Currency, DueOn: m.DueOn,
			Reason: m.Reason,
		})
	case *fee.InvoiceCancelled:
		say(cancellation, m.InvoiceID,
			entryTerms{Invoice: m.InvoiceID, Student: m.StudentID, Reason: m.Reason})
	case *fee.Credited:
		say(crediting, m.CreditID, entryTerms{
			Invoice: m.InvoiceID, Student: m.StudentID, Amount: m.Amount, Currency: m.Currency,
			Reason: m.Reason,
		})
	case *fee.PaymentReceived:
		say(paying, m.PaymentID, entryTerms{
			Invoice: m.InvoiceID, Student: m.StudentID, Amount: m.Amount, Currency: m.Currency,
			Method: m.Method,
		})
	case *fee.Refunded:
		say(refunding, m.RefundID, entryTerms{
			Invoice: m.InvoiceID, Student: m.StudentID, Amount: m.Amount, Currency: m.Currency,
			Method: m.Method, Reason: m.Reason,
		})
	case *fee.Waived:
		say(waiving, m.WaiverID,
			entryTerms{Invoice: m.InvoiceID, Amount: m.Amount, Reason: m.Reason})
	case *fee.PaymentReversed:
		id := entryID{paying, m.PaymentID}
		b.reversals[id] = append(b.reversals[id], e)
	case *fee.WaiverReversed:
		id := entryID{waiving, m.WaiverID}
		b.reversals[id] = append(b.reversals[id], e)
	}
}

// settled returns the entries as they hold, in the order in which they count.
func (b *books) settled() []entry {
	var all []entry
	for id, statements := range b.entries {
		all = append(all, entry{id, hold(statements), b.reversals[id]})
	}
	slices.SortFunc(all, func(x, y entry) int {
		return cmp.Or(x.at.Compare(y.at), cmp.Compare(x.position, y.position),
			cmp.Compare(x.kind, y.kind), cmp.Compare(x.id, y.id))
	})
	return all
}

// isMoney says whether the books take in a fact.
func isMoney(data domain.Event) bool {
	switch data.(type) {
	case *fee.Invoiced, *fee.InvoiceChanged, *fee.InvoiceCancelled, *fee.Credited,
		*fee.PaymentReceived, *fee.PaymentReversed, *fee.Refunded, *fee.Waived, *fee.WaiverReversed:
		return true
	}
	return false
}
