package numbers

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// Scope is for which day, and by which clock, numbers are calculated.
type Scope struct {
	Today domain.Date
	Zone  *time.Location
}

// tomorrow is the moment before which things have happened.
func (s Scope) tomorrow() time.Time {
	y, m, d := s.Today.Time().Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, s.Zone)
}

// group is what a sum is of; what it is not by is empty.
type group struct {
	currency   string
	year, term domain.Label
	name       string // of a category or method
}

func (g group) compare(other group) int {
	return cmp.Or(cmp.Compare(g.currency, other.currency), cmp.Compare(g.year, other.year),
		cmp.Compare(g.term, other.term), cmp.Compare(g.name, other.name))
}

// Fees calculates the response of the query "fees". Year and term select invoices; "" is all.
func Fees(events []*domain.Envelope, scope Scope, year, term domain.Label) Object {
	now := readBooks(events, scope.tomorrow())
	invoices := invoicesOf(now)
	var selected []*invoice
	for _, id := range slices.Sorted(maps.Keys(invoices)) {
		i := invoices[id]
		if i.exists && (year == "" || i.charge.Year == year) && (term == "" || i.charge.Term == term) {
			selected = append(selected, i)
		}
	}
	return Object{
		"totals": totals(selected, scope.Today, func(i *invoice) (group, Object) {
			return group{currency: i.charge.Currency}, Object{}
		}),
		"by_term": totals(selected, scope.Today, func(i *invoice) (group, Object) {
			c := i.charge
			return group{currency: c.Currency, year: c.Year, term: c.Term},
				Object{"year": string(c.Year), "term": string(c.Term)}
		}),
		"by_category": totals(selected, scope.Today, func(i *invoice) (group, Object) {
			return group{currency: i.charge.Currency, name: i.charge.Category},
				Object{"category": i.charge.Category}
		}),
		"by_method": byMethod(selected),
		"ageing":    ageing(selected, scope.Today),
		"monthly":   monthly(now, scope.Zone),
		"planned":   planned(readBooks(events, endOfTime), scope),
		"unmatched": unmatched(invoices),
	}
}

var endOfTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// grouped collects things by their group, and returns the groups in order.
func grouped[T any](all []T, by func(T) group) (order []group, of map[group][]T) {
	of = map[group][]T{}
	for _, v := range all {
		of[by(v)] = append(of[by(v)], v)
	}
	return slices.SortedFunc(maps.Keys(of), group.compare), of
}

// each sums what a measure says of each invoice, with the events that bear on it.
func each(invoices []*invoice, measure func(*invoice) []Term) *Number {
	var parts [][]Term
	for _, i := range invoices {
		if terms := measure(i); len(terms) > 0 {
			parts = append(parts, terms, i.bearing())
		}
	}
	return sum(parts...)
}

func totals(all []*invoice, today domain.Date, by func(*invoice) (group, Object)) List {
	order, of := grouped(all, func(i *invoice) group { g, _ := by(i); return g })
	rows := List{}
	for _, g := range order {
		_, row := by(of[g][0])
		row["currency"] = g.currency
		maps.Copy(row, measures(of[g], today))
		for _, decisive := range []string{"invoices", "collected", "reversed", "refunded"} {
			if row[decisive].(*Number).Exact.Sign() != 0 {
				rows = append(rows, row)
				break
			}
		}
	}
	return rows
}

func measures(of []*invoice, today domain.Date) Object {
	due := each(of, func(i *invoice) []Term {
		if i.charge.DueOn > today {
			return nil
		}
		return i.payable()
	})
	settled := each(of, func(i *invoice) []Term {
		switch {
		case i.charge.DueOn > today:
			return nil
		case i.sign() > 0: // what is not open of it
			return append(i.payable(), negative(i.open())...)
		}
		return i.payable()
	})
	return Object{
		"invoices": each(of, func(i *invoice) []Term {
			if i.cancelled {
				return nil
			}
			return []Term{{i.invoiced[0].Event, one}}
		}),
		"invoiced":      each(of, func(i *invoice) []Term { return i.invoiced }),
		"credited":      each(of, func(i *invoice) []Term { return i.credited }),
		"waived":        each(of, func(i *invoice) []Term { return i.waived }),
		"waived_excess": each(of, func(i *invoice) []Term { return i.excess }),
		"collected":     each(of, (*invoice).collected),
		"reversed":      each(of, func(i *invoice) []Term { return i.reversed }),
		"refunded":      each(of, func(i *invoice) []Term { return i.refunded }),
		"outstanding": each(of, func(i *invoice) []Term {
			if i.sign() <= 0 {
				return nil
			}
			return i.open()
		}),
		"overpaid": each(of, func(i *invoice) []Term {
			if i.sign() >= 0 {
				return nil
			}
			return negative(i.open())
		}),
		"due": due, "settled": settled, "collection_rate": quotient(settled, due, 4),
	}
}

func byMethod(all []*invoice) List {
	type part struct {
		of     *invoice
		method string
	}
	var parts []part
	for _, i := range all {
		for _, name := range slices.Sorted(maps.Keys(i.byMethod)) {
			parts = append(parts, part{i, name})
		}
	}
	order, of := grouped(parts, func(p part) group {
		return group{currency: p.of.charge.Currency, name: p.method}
	})
	rows := List{}
	for _, g := range order {
		measure := func(pick func(*methodSums) []Term) *Number {
			var terms [][]Term
			for _, p := range of[g] {
				if of := pick(p.of.byMethod[p.method]); len(of) > 0 {
					terms = append(terms, of, p.of.bearing())
				}
			}
			return sum(terms...)
		}
		row := Object{
			"currency": g.currency, "method": g.name,
			"payments":  measure(func(m *methodSums) []Term { return m.payments }),
			"collected": measure(func(m *methodSums) []Term { return m.collected }),
			"reversed":  measure(func(m *methodSums) []Term { return m.reversed }),
			"refunded":  measure(func(m *methodSums) []Term { return m.refunded }),
		}
		if row["payments"].(*Number).Exact.Sign() != 0 || row["refunded"].(*Number).Exact.Sign() != 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// buckets are the members of ageing, with the days since when at least and at most.
var buckets = []struct {
	name        string
	least, most int
}{
	{"current", -1 << 30, 0},
	{"days_1_30", 1, 30},
	{"days_31_60", 31, 60},
	{"days_61_90", 61, 90},
	{"days_over_90", 91, 1 << 30},
}

func ageing(all []*invoice, today domain.Date) List {
	owed := slices.DeleteFunc(slices.Clone(all), func(i *invoice) bool { return i.sign() <= 0 })
	order, of := grouped(owed, func(i *invoice) group { return group{currency: i.charge.Currency} })
	rows := List{}
	for _, g := range order {
		row := Object{"currency": g.currency}
		for _, b := range buckets {
			row[b.name] = each(of[g], func(i *invoice) []Term {
				days := int(today) - int(i.charge.DueOn)
				if days < b.least || days > b.most {
					return nil
				}
				return i.open()
			})
		}
		rows = append(rows, row)
	}
	return rows
}

// monthly is the money by the month of each entry, whatever it was for.
func monthly(b *books, zone *time.Location) List {
	money := slices.DeleteFunc(b.settled(), func(e entry) bool {
		return e.kind != paying && e.kind != refunding
	})
	month := func(e entry) string { return e.at.In(zone).Format("2006-01") + "-01" }
	order, of := grouped(money, func(e entry) group {
		return group{currency: e.content.Currency, name: month(e)}
	})
	rows := List{}
	for _, g := range order {
		var payments, received, reversed, refunded, bearing []Term
		for _, e := range of[g] {
			for _, about := range append(slices.Clone(e.events), e.reversals...) {
				bearing = append(bearing, adds(about, 0))
			}
			if e.kind == refunding {
				refunded = append(refunded, adds(e.made, e.content.Amount))
				continue
			}
			payments = append(payments, adds(e.made, 1))
			received = append(received, adds(e.made, e.content.Amount))
			if len(e.reversals) > 0 {
				reversed = append(reversed, adds(e.reversals[0], e.content.Amount))
			}
		}
		rows = append(rows, Object{
			"month": g.name, "currency": g.currency, "payments": sum(payments, bearing),
			"received": sum(received, bearing), "reversed": sum(reversed, bearing),
			"refunded": sum(refunded, bearing),
			"revenue":  sum(received, negative(reversed), negative(refunded), bearing),
		})
	}
	return rows
}

// planned are the payments that are dated after today.
func planned(b *books, scope Scope) List {
	ahead := slices.DeleteFunc(b.settled(), func(e entry) bool {
		return e.kind != paying || len(e.reversals) > 0 || e.at.Before(scope.tomorrow())
	})
	order, of := grouped(ahead, func(e entry) group { return group{currency: e.content.Currency} })
	rows := List{}
	for _, g := range order {
		var payments, amount []Term
		for _, e := range of[g] {
			payments = append(payments, adds(e.made, 1))
			amount = append(amount, adds(e.made, e.content.Amount))
		}
		rows = append(rows, Object{
			"currency": g.currency, "payments": sum(payments), "amount": sum(amount),
		})
	}
	return rows
}

// unmatched are payments for what there is no invoice of, in their currency.
func unmatched(invoices map[string]*invoice) List {
	of := map[string][][]Term{}
	for _, i := range invoices {
		for currency, terms := range i.unmatched {
			of[currency] = append(of[currency], terms, i.bearing())
		}
	}
	rows := List{}
	for _, currency := range slices.Sorted(maps.Keys(of)) {
		rows = append(rows, Object{"currency": currency, "amount": sum(of[currency]...)})
	}
	return rows
}
