package timeline

import (
	"reflect"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/fees"
)

// What is said again with the same content has no line of its own. A waiver names only its invoice and a
// reversal only what it reverses: their line is added by whichever of the events is folded last, and
// stands at the position of the waiver or the reversal all the same. Where an invoice or a payment came
// with several contents, each student that one of them names has the line.

// What is shown of these, which do not say whose they are.
type (
	reversal struct {
		PaymentID string `json:"payment_id,omitzero"`
		WaiverID  string `json:"waiver_id,omitzero"`
		Amount    int64  `json:"amount"`
		Currency  string `json:"currency"`
		Reason    string `json:"reason"`
	}
	waiver struct {
		WaiverID  string `json:"waiver_id"`
		InvoiceID string `json:"invoice_id"`
		Amount    int64  `json:"amount"`
		Currency  string `json:"currency"`
		Reason    string `json:"reason"`
	}
)

var (
	waiverName          = names[reflect.TypeFor[*fee.Waived]()]
	waiverReversalName  = names[reflect.TypeFor[*fee.WaiverReversed]()]
	paymentReversalName = names[reflect.TypeFor[*fee.PaymentReversed]()]
)

// addMoney adds the lines of a fact about money.
func addMoney(b *projections.Batch, l line, data domain.Event) error {
	switch m := data.(type) {
	case *fee.Invoiced:
		return invoiced(b, l, m)
	case *fee.PaymentReceived:
		return paid(b, l, m)
	case *fee.PaymentReversed:
		return paymentReversed(b, l, m)
	case *fee.Waived:
		return waived(b, l, m)
	case *fee.WaiverReversed:
		return waiverReversed(b, l, m)
	case *fee.InvoiceChanged:
		return l.addOnce(b, fees.Change, m.ChangeID, m)
	case *fee.InvoiceCancelled:
		return l.addOnce(b, fees.Cancellation, m.InvoiceID, m)
	case *fee.Credited:
		return l.addOnce(b, fees.Credit, m.CreditID, m)
	case *fee.Refunded:
		return l.addOnce(b, fees.Refund, m.RefundID, m)
	}
	return l.add(b, data)
}

// addOnce adds the line of an entry unless it is a repetition.
func (l line) addOnce(b *projections.Batch, kind fees.Kind, id string, data domain.Event) error {
	if _, first := fees.EntryOf(b, l.school, kind, id).Versions.SaidAt(l.position); !first {
		return nil
	}
	return l.add(b, data)
}

func invoiced(b *projections.Batch, l line, m *fee.Invoiced) error {
	i := fees.InvoiceOf(b, l.school, m.InvoiceID)
	if _, first := i.Versions.SaidAt(l.position); !first {
		return nil
	}
	if names := versionOf(i.Versions, m.StudentID); names.Said.Position == l.position {
		for _, w := range i.Lines {
			if w.Kind != fees.Waiver {
				continue
			}
			e := fees.EntryOf(b, l.school, fees.Waiver, w.ID)
			if err := addWaiver(b, l.school, m.StudentID, w.ID, e.Versions.Current(), i); err != nil {
				return err
			}
			if err := addReversals(b, l.school, m.StudentID, w.ID, e, m.InvoiceID); err != nil {
				return err
			}
		}
	}
	return l.add(b, m)
}

// versionOf is the first version by the log that names a student.
func versionOf(versions fees.Versions[fees.Terms], studentID string) (first fees.Version[fees.Terms]) {
	for _, v := range versions {
		if v.Content.StudentID == studentID &&
			(first.Content.StudentID == "" || v.Said.Position < first.Said.Position) {
			first = v
		}
	}
	return first
}

func waived(b *projections.Batch, l line, m *fee.Waived) error {
	e := fees.EntryOf(b, l.school, fees.Waiver, m.WaiverID)
	now, first := e.Versions.SaidAt(l.position)
	if !first {
		return nil
	}
	before := slices.ContainsFunc(e.Versions, func(v fees.Version[fees.Terms]) bool {
		return v.Content.InvoiceID == m.InvoiceID && v.Said.Position < l.position
	})
	i := fees.InvoiceOf(b, l.school, m.InvoiceID)
	for _, student := range i.StudentsOf() {
		if err := addWaiver(b, l.school, student, m.WaiverID, now, i); err != nil {
			return err
		}
		if before {
			continue // the reversals have their lines
		}
		if err := addReversals(b, l.school, student, m.WaiverID, e, m.InvoiceID); err != nil {
			return err
		}
	}
	return nil
}

func addWaiver(
	b *projections.Batch, school, studentID, id string, w fees.Version[fees.Terms], i fees.Invoice,
) error {
	l := line{school, studentID, waiverName, w.Said.Position, w.Said.Time}
	of := versionOf(i.Versions, studentID).Content
	return l.add(b,
		waiver{id, w.Content.InvoiceID, w.Content.Amount, of.Currency, w.Content.Reason})
}

// addReversals adds the reversals of a waiver for a student of one of its invoices, unless they are
// there because of another one.
func addReversals(
	b *projections.Batch, school, studentID, id string, e fees.Entry, invoiceID string,
) error {
	for _, other := range e.InvoicesOf() {
		if other != invoiceID &&
			slices.Contains(fees.InvoiceOf(b, school, other).StudentsOf(), studentID) {
			return nil
		}
	}
	for _, r := range e.Reversals {
		if err := addWaiverReversal(b, school, studentID, id, e, r); err != nil {
			return err
		}
	}
	return nil
}

func addWaiverReversal(
	b *projections.Batch, school, studentID, id string, e fees.Entry, r fees.Version[string],
) error {
	l := line{school, studentID, waiverReversalName, r.Said.Position, r.Said.Time}
	for _, w := range e.Versions {
		of := versionOf(fees.InvoiceOf(b, school, w.Content.InvoiceID).Versions, studentID).Content
		if of.StudentID != "" {
			return l.add(b, reversal{
				WaiverID: id, Amount: w.Content.Amount, Currency: of.Currency, Reason: r.Content,
			})
		}
	}
	return nil
}

func waiverReversed(b *projections.Batch, l line, m *fee.WaiverReversed) error {
	e := fees.EntryOf(b, l.school, fees.Waiver, m.WaiverID)
	r, first := e.Reversals.SaidAt(l.position)
	if !first {
		return nil
	}
	for _, student := range fees.AccountsOf(b, l.school, m) {
		if err := addWaiverReversal(b, l.school, student, m.WaiverID, e, r); err != nil {
			return err
		}
	}
	return nil
}

func paid(b *projections.Batch, l line, m *fee.PaymentReceived) error {
	p := fees.EntryOf(b, l.school, fees.Payment, m.PaymentID)
	if _, first := p.Versions.SaidAt(l.position); !first {
		return nil
	}
	if v := versionOf(p.Versions, m.StudentID); v.Said.Position == l.position {
		for _, r := range p.Reversals {
			if err := addPaymentReversal(b, l.school, m.PaymentID, v, r); err != nil {
				return err
			}
		}
	}
	return l.add(b, m)
}

func paymentReversed(b *projections.Batch, l line, m *fee.PaymentReversed) error {
	p := fees.EntryOf(b, l.school, fees.Payment, m.PaymentID)
	r, first := p.Reversals.SaidAt(l.position)
	if !first {
		return nil
	}
	for n, v := range p.Versions {
		if slices.ContainsFunc(p.Versions[:n], func(other fees.Version[fees.Terms]) bool {
			return other.Content.StudentID == v.Content.StudentID
		}) {
			continue // one line for a student
		}
		v = versionOf(p.Versions, v.Content.StudentID)
		if err := addPaymentReversal(b, l.school, m.PaymentID, v, r); err != nil {
			return err
		}
	}
	return nil
}

func addPaymentReversal(
	b *projections.Batch, school, id string, p fees.Version[fees.Terms], r fees.Version[string],
) error {
	l := line{school, p.Content.StudentID, paymentReversalName, r.Said.Position, r.Said.Time}
	return l.add(b, reversal{
		PaymentID: id, Amount: p.Content.Amount, Currency: p.Content.Currency, Reason: r.Content,
	})
}
