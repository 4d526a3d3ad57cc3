package plan

import (
	"cmp"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
)

var noticeChannels = []consumers.Channel{consumers.Email, consumers.InApp}

// invoice notifies the primary guardian that a fee has been charged.
var invoice = &rule{
	name:     "invoice",
	types:    []string{fee.TypeInvoiced},
	channels: noticeChannels,
	maxAge:   7,
	plan: func(d *draft) {
		i, ok := d.event.Data.(*fee.Invoiced)
		if !ok || d.staleEvent() {
			return
		}
		d.tellFamily(i.StudentID, message{
			template: wording.Invoice,
			priority: consumers.Normal,
			about:    i.InvoiceID,
			student:  i.StudentID,
			params: wording.Params{
				Student: d.studentName(i.StudentID), Invoice: i.InvoiceID, Category: i.Category,
				Amount:   i.Amount,
				Currency: i.Currency, DueOn: i.DueOn, Year: i.Year, Term: i.Term,
			},
		})
	},
	still: func(w *review) string {
		i := w.Invoice(w.delivery.About)
		if i.Amount > 0 && i.Open <= 0 {
			return "nothing is open of the invoice any more"
		}
		return w.family(i.StudentID, true)
	},
}

// feeReminder reminds the primary guardian of what the account still owes of a fee. The amount is read
// when the reminder is planned: a family that has paid in the meantime gets none.
var feeReminder = &rule{
	name:     "fee_reminder",
	types:    []string{fee.TypeReminderDue},
	channels: noticeChannels,
	maxAge:   7,
	plan: func(d *draft) {
		r, ok := d.event.Data.(*fee.ReminderDue)
		if !ok || d.staleEvent() {
			return
		}
		open, invoice := r.Amount, d.Invoice(r.InvoiceID)
		if invoice.Amount > 0 {
			if open = min(open, invoice.Owed); open <= 0 {
				return
			}
		}
		d.tellFamily(r.StudentID, message{
			template: wording.FeeReminder,
			priority: consumers.Normal,
			about:    r.InvoiceID,
			student:  r.StudentID,
			params: wording.Params{
				Student: d.studentName(r.StudentID), Invoice: r.InvoiceID, Category: invoice.Category,
				Amount:   open,
				Currency: cmp.Or(invoice.Currency, d.settings.Currency), DueOn: r.DueOn,
			},
		})
	},
	still: func(w *review) string {
		i := w.Invoice(w.delivery.About)
		if i.Amount == 0 {
			return "" // the invoice is another system's
		}
		if i.Owed <= 0 {
			return "the account owes nothing of the invoice any more"
		}
		w.params.Amount = min(w.params.Amount, i.Owed)
		return w.family(i.StudentID, true)
	},
}

// receipt plans a receipt for a payment, and a notice with its link to the primary guardian.
var receipt = &rule{
	name:     "receipt",
	types:    []string{fee.TypePaymentReceived},
	channels: noticeChannels,
	maxAge:   7,
	plan: func(d *draft) {
		p, ok := d.event.Data.(*fee.PaymentReceived)
		if !ok || d.staleEvent() {
			return
		}
		i := d.Invoice(p.InvoiceID)
		paid := paper.Receipt{
			Head:    d.head(p.StudentID),
			Payment: p.PaymentID, Invoice: p.InvoiceID, Category: i.Category, Year: i.Year,
			Term:   i.Term,
			Amount: p.Amount, Currency: p.Currency, Method: p.Method,
			ReceivedOn: domain.DateOf(d.event.Time.In(d.settings.Location())),
		}
		if guardians := d.Guardians(p.StudentID); len(guardians) > 0 {
			paid.Payer = guardians[0].Name
		}
		d.tellFamily(p.StudentID, message{
			template: wording.Receipt,
			priority: consumers.Normal,
			about:    p.PaymentID,
			topic:    topicOfReceipt(p.PaymentID),
			student:  p.StudentID,
			dependsOn: d.document(p.StudentID, p.PaymentID, "", paper.KindReceipt, consumers.Normal,
				paper.Encode(paid)),
			params: wording.Params{
				Student: d.studentName(p.StudentID), Payment: p.PaymentID, Invoice: p.InvoiceID,
				Amount:   p.Amount,
				Currency: p.Currency, Method: p.Method,
			},
		})
	},
	still: func(w *review) string {
		p := w.Payment(w.delivery.About)
		if p.Reversed {
			return "the payment has been reversed"
		}
		return w.family(p.StudentID, true)
	},
}

func topicOfReceipt(paymentID string) string { return "receipt\t" + paymentID }

// reversal tells those who got a receipt that the payment has been taken back.
var reversal = &rule{
	name:   "reversal",
	types:  []string{fee.TypePaymentReversed},
	maxAge: 7,
	plan: func(d *draft) {
		r, ok := d.event.Data.(*fee.PaymentReversed)
		if !ok || d.staleEvent() {
			return
		}
		p := d.Payment(r.PaymentID)
		if p.Amount == 0 {
			return // money that never came has no receipt
		}
		d.retract(message{
			template: wording.Reversal,
			priority: consumers.Normal,
			about:    p.ID,
			student:  p.StudentID,
			topic:    topicOfReceipt(p.ID),
			params: wording.Params{
				Student: d.studentName(p.StudentID), Payment: p.ID, Invoice: p.InvoiceID,
				Amount: p.Amount, Currency: p.Currency,
			},
		})
	},
	still: func(w *review) string {
		return w.family(w.Payment(w.delivery.About).StudentID, false)
	},
}
