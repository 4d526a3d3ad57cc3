package fee

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/schoolbell/schoolbell/domain"
)

// Waived: part or all of what is open of an invoice need not be paid. What goes beyond that is
// nobody's money.
type Waived struct {
	WaiverID  string `json:"waiver_id"`
	InvoiceID string `json:"invoice_id"`
	Amount    int64  `json:"amount"`
	Reason    string `json:"reason" whose:"student"`
}

// Subject is the invoice: the event names no student.
func (e *Waived) Subject() string { return e.InvoiceID }

// Rooms are only the school's.
func (e *Waived) Rooms() []domain.Room { return nil }

// Validate implements [domain.Event].
func (e *Waived) Validate(f *domain.Faults) {
	f.Key("/waiver_id", e.WaiverID)
	f.ID("/invoice_id", e.InvoiceID)
	f.Amount("/amount", e.Amount)
	f.Text("/reason", e.Reason, domain.MaxTextLength)
}

// SeenBy shows it to those who pay and to the accountants.
func (e *Waived) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}

// WaivedV1 is a waiver that need not have an id. Without one it is the same waiver as another of the
// same invoice, amount and reason: see [DerivedWaiverID].
type WaivedV1 struct {
	WaiverID  string `json:"waiver_id,omitzero"`
	InvoiceID string `json:"invoice_id"`
	Amount    int64  `json:"amount"`
	Reason    string `json:"reason" whose:"student"`
}

// Subject is the invoice: the event names no student.
func (e *WaivedV1) Subject() string { return e.InvoiceID }

// Rooms are only the school's.
func (e *WaivedV1) Rooms() []domain.Room { return nil }

// Validate implements [domain.Event].
func (e *WaivedV1) Validate(f *domain.Faults) {
	f.OptionalID("/waiver_id", e.WaiverID)
	f.ID("/invoice_id", e.InvoiceID)
	f.Amount("/amount", e.Amount)
	f.Text("/reason", e.Reason, domain.MaxTextLength)
}

// SeenBy shows it to the office only: what is delivered has been upcast before.
func (e *WaivedV1) SeenBy(domain.Audience) domain.Event { return nil }

func upcastWaivedV1(old *WaivedV1) *Waived {
	w := Waived(*old)
	if w.WaiverID == "" {
		w.WaiverID = DerivedWaiverID(old.InvoiceID, old.Amount, old.Reason)
	}
	return &w
}

// DerivedWaiverID is the id of a waiver whose event has none: "w-" and the first 16 hexadecimal digits
// of the SHA-256 of its invoice, its amount and its reason, with a line break between them. So the
// same waiver in another event counts once, and it can be reversed.
func DerivedWaiverID(invoiceID string, amount int64, reason string) string {
	sum := sha256.Sum256([]byte(invoiceID + "\n" + strconv.FormatInt(amount, 10) + "\n" + reason))
	return "w-" + hex.EncodeToString(sum[:8])
}

// WaiverReversed: a waiver is taken back, so that its amount is to be paid after all.
type WaiverReversed struct {
	WaiverID string `json:"waiver_id"`
	Reason   string `json:"reason" whose:"student"`
}

// Subject is the waiver: the event names no student.
func (e *WaiverReversed) Subject() string { return e.WaiverID }

// Rooms are only the school's.
func (e *WaiverReversed) Rooms() []domain.Room { return nil }

// Validate implements [domain.Event].
func (e *WaiverReversed) Validate(f *domain.Faults) {
	f.ID("/waiver_id", e.WaiverID)
	f.Text("/reason", e.Reason, domain.MaxTextLength)
}

// SeenBy shows it to those who pay and to the accountants.
func (e *WaiverReversed) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}
