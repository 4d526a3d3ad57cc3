// Package delivery holds the outcomes of messages. Schoolbell writes them itself.
//
// The ledger decides on an outcome and puts it into its outbox in the same transaction, from which
// it is appended to the log; projections/deliveries folds it again. Other systems may report what
// they sent in the same way. An outcome names its recipient by id and holds no address or text, as
// the log is never erased.
package delivery

import "github.com/schoolbell/schoolbell/domain"

// Wire names.
const (
	TypeSent      = "schoolbell.delivery.sent.v1"
	TypeDelivered = "schoolbell.delivery.delivered.v1"
	TypeFailed    = "schoolbell.delivery.failed.v1"
	TypeCancelled = "schoolbell.delivery.cancelled.v1"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Planned](TypePlanned,
		"Messages and documents are about to be sent: the ledger has them.",
		domain.OffTimeline).ReservedForSchoolbell(),
	domain.NewFact[Sent](TypeSent, "A provider has taken a message.",
		domain.OffTimeline).ReservedForSchoolbell(),
	domain.NewFact[Delivered](TypeDelivered, "A message has reached its recipient.",
		domain.OffTimeline).ReservedForSchoolbell(),
	domain.NewFact[Failed](TypeFailed, "A message will not reach its recipient.",
		domain.OffTimeline).ReservedForSchoolbell(),
	domain.NewFact[Cancelled](TypeCancelled,
		"A message is not sent: it was no longer true, came too late, or somebody stopped it.",
		domain.OffTimeline).ReservedForSchoolbell(),
}

// Outcome is what the facts share.
type Outcome struct {
	DeliveryID string `json:"delivery_id"`
	Channel    string `json:"channel" impersonal:"names a channel"`
	Recipient  string `json:"recipient" impersonal:"an id"` // the id of the user, never an address
	Provider   string `json:"provider" impersonal:"names a service"`
	ProviderID string `json:"provider_id,omitzero"`
	Cost       int64  `json:"cost,omitzero"` // in millionths of the provider's currency
	Error      string `json:"error,omitzero" whose:"student,guardian,staff"`
}

// Sent: a provider has taken a message.
type Sent Outcome

// Delivered: a message has reached its recipient.
type Delivered Outcome

// Failed: a message will not reach its recipient.
type Failed Outcome

// Cancelled: a message is not sent, for a reason that lies in the message.
type Cancelled Outcome

// Subject is the delivery.
func (e *Sent) Subject() string { return e.DeliveryID }

// Subject is the delivery.
func (e *Delivered) Subject() string { return e.DeliveryID }

// Subject is the delivery.
func (e *Failed) Subject() string { return e.DeliveryID }

// Subject is the delivery.
func (e *Cancelled) Subject() string { return e.DeliveryID }

// Rooms is the recipient's own.
func (e *Sent) Rooms() []domain.Room { return domain.In(domain.RoomUser, e.Recipient) }

// Rooms is the recipient's own.
func (e *Delivered) Rooms() []domain.Room { return domain.In(domain.RoomUser, e.Recipient) }

// Rooms is the recipient's own.
func (e *Failed) Rooms() []domain.Room { return domain.In(domain.RoomUser, e.Recipient) }

// Rooms is the school's only: who is sent nothing does not hear about it.
func (e *Cancelled) Rooms() []domain.Room { return nil }

// Validate implements [domain.Event].
func (e *Sent) Validate(f *domain.Faults) { validate(f, (*Outcome)(e)) }

// Validate implements [domain.Event].
func (e *Delivered) Validate(f *domain.Faults) { validate(f, (*Outcome)(e)) }

// Validate implements [domain.Event].
func (e *Failed) Validate(f *domain.Faults) {
	validate(f, (*Outcome)(e))
	f.Text("/error", e.Error, domain.MaxTextLength)
}

// Validate implements [domain.Event].
func (e *Cancelled) Validate(f *domain.Faults) {
	validate(f, (*Outcome)(e))
	f.Text("/error", e.Error, domain.MaxTextLength)
}

func validate(f *domain.Faults, o *Outcome) {
	f.ID("/delivery_id", o.DeliveryID)
	f.ID("/channel", o.Channel)
	f.ID("/recipient", o.Recipient)
	f.ID("/provider", o.Provider)
	f.OptionalID("/provider_id", o.ProviderID)
	f.OptionalText("/error", o.Error, domain.MaxTextLength)
	f.AtLeast("/cost", o.Cost, 0)
}

// SeenBy shows it to the recipient, without provider and cost.
func (e *Sent) SeenBy(a domain.Audience) domain.Event {
	if a != domain.Self {
		return nil
	}
	c := Sent(Outcome(*e).toRecipient())
	return &c
}

// SeenBy shows it to the recipient, without provider and cost.
func (e *Delivered) SeenBy(a domain.Audience) domain.Event {
	if a != domain.Self {
		return nil
	}
	c := Delivered(Outcome(*e).toRecipient())
	return &c
}

// SeenBy shows it to the recipient, without provider and cost.
func (e *Failed) SeenBy(a domain.Audience) domain.Event {
	if a != domain.Self {
		return nil
	}
	c := Failed(Outcome(*e).toRecipient())
	return &c
}

// SeenBy shows it to the office only.
func (e *Cancelled) SeenBy(domain.Audience) domain.Event { return nil }

func (o Outcome) toRecipient() Outcome {
	return Outcome{
		DeliveryID: o.DeliveryID, Channel: o.Channel, Recipient: o.Recipient,
		Provider: "schoolbell",
	}
}
