package consumers

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
)

// Channel is a way to reach a recipient.
type Channel string

// The channels. A document that is rendered and stored is a delivery too.
const (
	SMS   Channel = "sms"
	Email Channel = "email"
	Push  Channel = "push"
	InApp Channel = "in_app"
	PDF   Channel = "pdf"
)

// Channels lists all channels.
func Channels() []Channel { return []Channel{SMS, Email, Push, InApp, PDF} }

// Route is a way to reach somebody.
type Route struct {
	Recipient string  `json:"recipient"`
	Channel   Channel `json:"channel"`
	Address   string  `json:"address,omitzero"`
	Language  string  `json:"language,omitzero"`
	// Unreachable says why it leads nowhere: there is nobody left.
	Unreachable string `json:"unreachable,omitzero"`
}

// Disturbs reports that a channel makes a phone ring or vibrate.
func (c Channel) Disturbs() bool { return c == SMS || c == Push }

// Priority orders the deliveries of one queue.
type Priority int

// The priorities, the most urgent first.
const (
	Urgent Priority = 1 + iota
	High
	Normal
	Bulk
)

// Delivery is one thing to do for one recipient because of one event. A planner fills in the upper
// half; the engine completes it from the event.
type Delivery struct {
	Recipient string // id of the user, guardian, student or member of staff; never an address
	Channel   Channel
	Address   string // a telephone number or e-mail address, where the channel needs one
	// About distinguishes several deliveries of one event to one recipient, usually by the student.
	// It is part of the id.
	About string
	// Once takes the event's place in the id, where several events lead to what must be sent once.
	Once string
	// Topic names what the delivery says, where that may turn out not to be so. A recipient is told
	// of a topic once by a channel, and again only after another delivery has taken it back.
	Topic string
	// Retracts: the delivery takes back what others said about the topic. It goes to whoever was told
	// of it, so it is planned without a recipient and a channel, see [Delivery.To].
	Retracts bool
	// Student is whom it is about, if it is one: whoever may no longer hear of the student by the time
	// that it is sent does not get it.
	Student   string
	Priority  Priority
	Template  string         // names the text or document
	Params    jsontext.Value // what the template needs: a JSON object, or nil for none
	Language  string         // BCP 47, for example "fr"
	Sender    string         // the school's name for itself, where the channel shows one
	NotBefore time.Time      // zero: at once
	NotAfter  time.Time      // zero: no limit; a delivery that has not begun by then is cancelled
	// DependsOn is the id of a delivery of the same event that must have succeeded before: the
	// document that a notice links to.
	DependsOn string

	// Unreachable says why nobody can be reached: the delivery has failed from the beginning, so that
	// somebody notices and rings.
	Unreachable string
	// Otherwise is whom to reach in its place, one after the other, when it fails for good.
	Otherwise []Route
	// InsteadOf is the id of the delivery that failed before this one.
	InsteadOf string

	Document *Document // what the delivery in DependsOn has made; set when this one is sent
	// ProviderID is the provider's own id for it; set when a [StatusProvider] is asked about one
	// that it has accepted.
	ProviderID string

	ID            string // see [DeliveryID]
	School        string
	Source        string
	EventID       string
	EventType     string
	Position      domain.Position // of the event
	Planner       string
	CorrelationID string // the event's, or the event's id when it has none
}

// DeliveryID returns the id of the delivery that a planner plans for a recipient because of an
// event. It follows from its arguments alone, which is why planning twice delivers once. About is
// empty unless the planner plans several for the same recipient and channel.
func DeliveryID(
	event *domain.Envelope, planner, recipient string, channel Channel, about string,
) string {
	h := sha256.New()
	var length []byte
	for _, part := range []string{
		event.School, event.Source, event.ID, planner, recipient, string(channel), about,
	} {
		// With its length in front no part can run into the next one.
		length = append(strconv.AppendInt(length[:0], int64(len(part)), 10), ':')
		h.Write(length)
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// Complete fills in what follows from the event.
func (d *Delivery) Complete(event *domain.Envelope, planner string) {
	cause := event
	if d.Once != "" {
		cause = &domain.Envelope{School: event.School, ID: d.Once}
	}
	d.ID = DeliveryID(cause, planner, d.Recipient, d.Channel, d.About)
	d.School, d.Source, d.EventID, d.EventType = event.School, event.Source, event.ID, event.Type
	d.Position, d.Planner = event.Position, planner
	d.CorrelationID = cmp.Or(event.CorrelationID, event.ID)
	d.Priority = cmp.Or(d.Priority, Normal)
}

// To returns a planned retraction as it goes to the recipient of a delivery that said otherwise.
func (d *Delivery) To(told *Delivery, event *domain.Envelope) Delivery {
	to := *d
	to.Recipient, to.Channel, to.Address = told.Recipient, told.Channel, told.Address
	to.Language, to.Sender = told.Language, told.Sender
	if !to.Channel.Disturbs() {
		to.NotBefore = time.Time{}
	}
	to.Complete(event, d.Planner)
	return to
}

// By returns a delivery as it goes another way after it has failed.
func (d *Delivery) By(way Route, then []Route) *Delivery {
	to := *d
	to.Recipient, to.Channel, to.Address = way.Recipient, way.Channel, way.Address
	to.Unreachable, to.Otherwise, to.InsteadOf = way.Unreachable, then, d.ID
	to.Language = cmp.Or(way.Language, d.Language)
	to.NotBefore, to.ProviderID = time.Time{}, ""
	to.Complete(&domain.Envelope{
		School: d.School, Source: d.Source, ID: d.EventID, Type: d.EventType, Position: d.Position,
		CorrelationID: d.CorrelationID,
	}, d.Planner)
	return &to
}
