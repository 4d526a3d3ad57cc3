package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Provider does deliveries of one channel. Send is called by many goroutines.
type Provider interface {
	// Name is that of the provider in ledgers, metrics and events.
	Name() string
	Abilities() Abilities
	// Send does one delivery. An error that is not a [*SendError] counts as [Unsure]: it may have been done.
	Send(ctx context.Context, d *Delivery) (Receipt, error)
}

// Abilities are what a provider can do. They decide what happens after an answer that did not come.
type Abilities struct {
	// Idempotent: the provider does the same delivery, by its id, once, however often it is asked. Then it is asked again.
	Idempotent bool
	// Status: the provider also is a [StatusProvider].
	Status bool
	// Receipts: the provider reports later what became of a delivery; see [Reports].
	Receipts bool
	// Rate is how many deliveries a second the provider takes, in all processes together; 0 means any number.
	Rate float64
}

// StatusProvider can be asked what became of a delivery.
type StatusProvider interface {
	Provider
	// Status finds a delivery by its id. Found is false when the provider has never taken it; an error leaves it open.
	Status(ctx context.Context, d *Delivery) (r Receipt, found bool, err error)
}

// BatchProvider can do several deliveries at once.
type BatchProvider interface {
	Provider
	// SendBatch returns an answer for each delivery, in order.
	SendBatch(ctx context.Context, batch []*Delivery) []SendResult
}

// SendResult is what came of one delivery of a batch.
type SendResult struct {
	Receipt Receipt
	Err     error
}

// Receipt is what a provider says about a delivery that it has taken.
type Receipt struct {
	State      State  // Sent, Delivered, Failed or Rendered; zero means Sent
	ProviderID string // the provider's own name for it
	Cost       int64  // in millionths of the provider's currency
	Segments   int    // of an SMS
	Error      string // why it failed
	Document   *Document
}

// Document is what has been made and stored.
type Document struct {
	Kind, StudentID, SHA256 string
	Bytes                   int64
}

// State is how far a delivery has come.
type State string

// The states. Those from Sent on have an event in the log.
const (
	Planned   State = "planned"   // waiting for its turn, its time, what it depends on, or the next attempt
	Sending   State = "sending"   // a worker is at it, or was when it ended
	Unknown   State = "unknown"   // it may have been done; nobody does it again before somebody knows
	Dead      State = "dead"      // all attempts failed; it can be retried
	Cancelled State = "cancelled" // by an operator, or because it came too late
	Sent      State = "sent"      // the provider has taken it
	Delivered State = "delivered" // it has arrived
	Rendered  State = "rendered"  // the document is stored
	Failed    State = "failed"    // it will not arrive
)

// Report is what a provider tells of its own accord, by a callback. Reports may come twice and in any order.
type Report struct {
	Provider   string
	ProviderID string // either this
	DeliveryID string // or this is needed
	School     string // narrows the search; may be empty
	State      State  // Sent, Delivered or Failed
	Cost       int64
	Error      string
	At         time.Time
}

// Reports takes what providers report. It returns [ErrUnknownDelivery] for a delivery that does not exist.
type Reports interface {
	Receive(ctx context.Context, r Report) error
}

// ErrUnknownDelivery says that there is no such delivery.
var ErrUnknownDelivery = errors.New("delivery is not known")

// ErrorClass says what an error means for the delivery.
type ErrorClass string

// The classes.
const (
	Temporary ErrorClass = "temporary" // not done; the same may succeed later
	Permanent ErrorClass = "permanent" // not done, and never will be
	Unsure    ErrorClass = "unknown"   // it may have been done
)

// SendError is an error whose meaning is known.
type SendError struct {
	Class      ErrorClass
	RetryAfter time.Duration // what the provider has asked for, if it has
	Code       string        // the provider's, for metrics: a small set
	Err        error
}

func (e *SendError) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("%s (%s): %v", e.Class, e.Code, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Class, e.Err)
}

// Unwrap returns the cause.
func (e *SendError) Unwrap() error { return e.Err }
