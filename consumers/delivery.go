package consumers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
)

// Channel is a way to reach somebody.
type Channel string

// The channels. A document that is made and stored is a delivery too.
const (
	SMS   Channel = "sms"
	Email Channel = "email"
	Push  Channel = "push"
	InApp Channel = "in_app"
	PDF   Channel = "pdf"
)

// Channels lists them all.
func Channels() []Channel { return []Channel{SMS, Email, Push, InApp, PDF} }

// Priority says who goes first when there is a queue.
type Priority int

// The priorities, the most urgent first.
const (
	Urgent Priority = 1 + iota
	High
	Normal
	Bulk
)

// Delivery is one thing to do for one recipient because of one event. A planner fills in the upper half; the engine
// completes it from the event.
type Delivery struct {
	Recipient string         // the id of the user, guardian, student or member of staff; never an address
	Channel   Channel        //
	Address   string         // a telephone number or e-mail address, where the channel needs one
	About     string         // the student, or whatever else tells apart several deliveries of one event to one recipient; part of the id
	Once      string         // stands in the id in place of the event, where several events may lead to what is to be said once
	Priority  Priority       //
	Template  string         // names the text or document
	Params    map[string]any // what the template needs: text, numbers, booleans, lists and maps of them
	Language  string         // BCP 47, as in "fr"
	Sender    string         // the school's name for itself, where the channel shows one
	NotBefore time.Time      // zero: at once
	NotAfter  time.Time      // zero: whenever; after it the delivery fails as expired instead of going out late
	DependsOn string         // the id of a delivery of the same event that must have succeeded before, as a document that is linked

	Document *Document // what the delivery that it depends on has made; known when it is sent

	ID            string // DeliveryID of the fields below and above
	School        string
	Source        string
	EventID       string
	EventType     string
	Position      domain.Position // of the event
	Planner       string
	CorrelationID string // the event's, or else its id
}

// DeliveryID returns the id of the delivery that a planner plans for a recipient because of an event. About is empty
// unless the same planner plans several for the same recipient and channel.
func DeliveryID(event *domain.Envelope, planner, recipient string, channel Channel, about string) string {
	h := sha256.New()
	var length []byte
	for _, part := range []string{event.School, event.Source, event.ID, planner, recipient, string(channel), about} {
		length = append(strconv.AppendInt(length[:0], int64(len(part)), 10), ':')
		h.Write(length)
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// Complete fills in what follows from the event.
func (d *Delivery) Complete(event *domain.Envelope, planner string) {
	d.ID = DeliveryID(event, planner, d.Recipient, d.Channel, d.About)
	if d.Once != "" {
		d.ID = DeliveryID(&domain.Envelope{School: event.School, ID: d.Once}, planner, d.Recipient, d.Channel, d.About)
	}
	d.School, d.Source, d.EventID, d.EventType = event.School, event.Source, event.ID, event.Type
	d.Position, d.Planner = event.Position, planner
	d.CorrelationID = event.CorrelationID
	if d.CorrelationID == "" {
		d.CorrelationID = event.ID
	}
	if d.Priority == 0 {
		d.Priority = Normal
	}
}

// EncodeParams writes the parameters in one way only, so that they can be compared.
func (d *Delivery) EncodeParams() ([]byte, error) {
	if len(d.Params) == 0 {
		return []byte("{}"), nil
	}
	b, err := json.Marshal(d.Params, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode parameters of delivery %s: %w", d.ID, err)
	}
	return b, nil
}
