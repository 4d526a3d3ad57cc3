package numbers

import (
	"cmp"
	"math/big"

	"github.com/schoolbell/schoolbell/domain"
)

// invoice is what one comes to: what each event adds to each of its amounts.
type invoice struct {
	id     string
	charge charge
	exists bool
	events []*domain.Envelope // all that have to do with it

	cancelled                          bool
	invoiced, credited, waived, excess []Term
	received, reversed, refunded       []Term
	byMethod                           map[string]*methodSums
	unmatched                          map[string][]Term // by currency
}

// methodSums are the payments of an invoice by one method.
type methodSums struct{ payments, collected, reversed, refunded []Term }

// invoicesOf makes the invoices of the books, each with what is said about it.
func invoicesOf(b *books) map[string]*invoice {
	all := map[string]*invoice{}
	of := func(id string) *invoice {
		if all[id] == nil {
			all[id] = &invoice{
				id: id, byMethod: map[string]*methodSums{}, unmatched: map[string][]Term{},
			}
		}
		return all[id]
	}
	entries := b.settled()
	lines := map[string][]entry{}
	for _, e := range entries {
		i := of(e.content.Invoice)
		i.events = append(append(i.events, e.events...), e.reversals...)
		lines[e.content.Invoice] = append(lines[e.content.Invoice], e)
	}
	for id, statements := range b.invoices {
		i, now := of(id), hold(statements)
		i.events = append(i.events, now.events...)
		i.exists, i.charge = true, now.content
		i.invoiced = []Term{adds(now.made, now.content.Amount)}
	}
	for id, i := range all {
		i.change(lines[id])
		i.count(lines[id])
	}
	return all
}

// change applies what changes the invoice itself.
func (i *invoice) change(lines []entry) {
	if !i.exists {
		return
	}
	for _, l := range lines {
		switch of := l.content; l.kind {
		case cancellation:
			i.cancelled = true
		case changing:
			c := &i.charge
			c.Year, c.Term = cmp.Or(of.Year, c.Year), cmp.Or(of.Term, c.Term)
			c.Category, c.DueOn = cmp.Or(of.Category, c.Category), cmp.Or(of.DueOn, c.DueOn)
			c.Currency = cmp.Or(of.Currency, c.Currency)
			if of.Amount != 0 {
				i.invoiced = append(i.invoiced, adds(l.made, of.Amount-c.Amount))
				c.Amount = of.Amount
			}
		}
	}
	for _, l := range lines {
		if l.kind == cancellation {
			i.invoiced = append(i.invoiced, adds(l.made, -i.charge.Amount))
		}
	}
}

// count says how much of each entry counts.
func (i *invoice) count(lines []entry) {
	var credited, received, refunded, waived int64
	charged := i.charge.Amount
	if i.cancelled {
		charged = 0
	}
	for _, l := range lines {
		of := l.content
		matches := i.exists && of.Currency == i.charge.Currency
		switch {
		case l.kind == paying && !matches:
			if len(l.reversals) == 0 {
				i.unmatched[of.Currency] = append(i.unmatched[of.Currency], adds(l.made, of.Amount))
			}
		case l.kind == paying:
			i.pay(l, &received)
		case l.kind == crediting && matches:
			counted := min(of.Amount, charged-credited)
			credited += counted
			i.credited = append(i.credited, adds(l.made, counted))
		}
	}
	if !i.exists {
		return
	}
	var paid, returned int64 // so far, in the order of time
	for _, l := range lines {
		of := l.content
		switch {
		case l.kind == paying && of.Currency == i.charge.Currency && len(l.reversals) == 0:
			paid += of.Amount
		case l.kind == refunding && of.Currency == i.charge.Currency:
			counted := min(of.Amount, received-refunded)
			refunded += counted
			returned += counted
			i.refunded = append(i.refunded, adds(l.made, counted))
			m := i.method(of.Method)
			m.refunded = append(m.refunded, adds(l.made, counted))
			m.collected = append(m.collected, adds(l.made, -counted))
		case l.kind == waiving && len(l.reversals) == 0:
			open := charged - credited - waived - paid + returned
			counted := min(of.Amount, max(open, 0), charged-credited-waived)
			waived += counted
			i.waived = append(i.waived, adds(l.made, counted))
			if !i.cancelled {
				i.excess = append(i.excess, adds(l.made, of.Amount-counted))
			}
		}
	}
}

// pay counts a payment in the invoice's currency. One that was reversed adds its amount, and the
// reversal takes it away.
func (i *invoice) pay(l entry, received *int64) {
	amount, m := l.content.Amount, i.method(l.content.Method)
	m.payments = append(m.payments, adds(l.made, 1))
	in := []Term{adds(l.made, amount)}
	if len(l.reversals) > 0 {
		by := l.reversals[0]
		i.reversed = append(i.reversed, adds(by, amount))
		m.reversed = append(m.reversed, adds(by, amount))
		in = append(in, adds(by, -amount))
	} else {
		*received += amount
	}
	i.received = append(i.received, in...)
	m.collected = append(m.collected, in...)
}

func (i *invoice) method(name string) *methodSums {
	if i.byMethod[name] == nil {
		i.byMethod[name] = &methodSums{}
	}
	return i.byMethod[name]
}

// payable is what is to be paid, whatever was.
func (i *invoice) payable() []Term {
	return append(append(append([]Term{}, i.invoiced...), negative(i.credited)...),
		negative(i.waived)...)
}

// collected is what was paid, less what was given back.
func (i *invoice) collected() []Term {
	return append(append([]Term{}, i.received...), negative(i.refunded)...)
}

// open is what remains to be paid; negative when too much was.
func (i *invoice) open() []Term { return append(i.payable(), negative(i.collected())...) }

func (i *invoice) sign() int { return total(i.open()).Sign() }

func total(terms []Term) *big.Rat {
	n := new(big.Rat)
	for _, t := range terms {
		n.Add(n, t.Added)
	}
	return n
}

// bearing are all events of an invoice, which add nothing by themselves: without one of them what the
// others add could be something else.
func (i *invoice) bearing() []Term {
	terms := make([]Term, len(i.events))
	for n, e := range i.events {
		terms[n] = adds(e, 0)
	}
	return terms
}
