package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Provider does deliveries of one channel. Its methods are called by many goroutines.
type Provider interface {
	// Name identifies the provider in the ledger, metrics and events.
	Name() string
	Abilities() Abilities
	// Send does one delivery. An error that is not a [*SendError] counts as [Unsure]: the delivery
	// may have been done.
	Send(ctx context.Context, d *Delivery) (Receipt, error)
}

// Abilities are what a provider can do. They decide what happens after a response that did not
// arrive.
type Abilities struct {
	// Idempotent: the provider does a delivery, by its id, once, however often it is sent. Then it
	// is sent again.
	Idempotent bool
	// Status: the provider is also a [StatusProvider].
	Status bool
	// Settle is how long the provider may take to list a delivery after the request: until then a
	// status of "not found" says nothing, and only after that does the delivery count as not done.
	Settle time.Duration
	// Rate is how many deliveries a second the provider accepts, from all processes together; 0
	// means any number.
	Rate float64
}

// StatusProvider can look up what became of a delivery.
type StatusProvider interface {
	Provider
	// Status finds a delivery: by the provider's own id if the delivery has one, else by what is in
	// it. Found is false when the provider does not have it, or not yet ([Abilities].Settle); an
	// error leaves it open.
	Status(ctx context.Context, d *Delivery) (r Receipt, found bool, err error)
}

// BatchProvider can do several deliveries at once.
type BatchProvider interface {
	Provider
	// SendBatch returns a result for each delivery, in their order.
	SendBatch(ctx context.Context, batch []*Delivery) []SendResult
}

// SendResult is the result of one delivery of a batch.
type SendResult struct {
	Receipt Receipt
	Err     error
}

// Receipt describes a delivery that a provider has accepted.
type Receipt struct {
	State      State  // Sent, Delivered, Failed or Rendered; zero means Sent
	ProviderID string // the provider's own id for it
	Cost       int64  // in millionths of the provider's currency
	Segments   int    // of an SMS
	Error      string // why it failed
	OptedOut   bool   // that is because the recipient does not want any more by this channel
	Document   *Document
}

// Document is a document that was rendered and stored.
type Document struct {
	Kind, StudentID, SHA256 string
	Bytes                   int64
}

// State is how far a delivery has come.
type State string

// The states. Those from Sent on have an event in the log.
const (
	Planned   State = "planned"   // waits in the queue, for its time, a dependency or a retry
	Sending   State = "sending"   // a worker is sending it, or was when it died
	Unknown   State = "unknown"   // it may have been done; never sent again by itself
	Dead      State = "dead"      // all attempts failed; it can be retried
	Cancelled State = "cancelled" // by an operator, or because it was late or not true any more
	Sent      State = "sent"      // the provider has accepted it
	Delivered State = "delivered" // it has arrived
	Rendered  State = "rendered"  // the document is stored
	Failed    State = "failed"    // it will not arrive
)

// Report is what a provider says about a delivery later, in a callback. Reports may come twice and
// in any order.
type Report struct {
	Provider   string
	ProviderID string // either this
	DeliveryID string // or this is needed
	School     string // narrows the search; may be empty
	State      State  // Sent, Delivered or Failed
	Cost       int64  // in millionths of the provider's currency
	Error      string
	OptedOut   bool // it failed because the recipient does not want any more by this channel
	At         time.Time
}

// Reports receives the reports of providers.
type Reports interface {
	// Receive records a report. The error is [ErrUnknownDelivery] when there is no such delivery.
	Receive(ctx context.Context, r Report) error
	// ReceiveWish records a wish. One of a number that was never sent anything changes nothing.
	ReceiveWish(ctx context.Context, w Wish) error
}

// Wish is what the owner of a telephone number has texted back: that they do not want any more texts,
// or that they want them again. It may come twice.
type Wish struct {
	Provider  string
	MessageID string // the provider's, of the text that says so
	Number    string // in E.164, as deliveries are addressed
	Stop      bool   // else start again
	At        time.Time
}

// ErrUnknownDelivery means that there is no such delivery.
var ErrUnknownDelivery = errors.New("no such delivery")

// ErrorClass is what an error means for the delivery.
type ErrorClass string

// The classes of errors.
const (
	Temporary ErrorClass = "temporary" // not done; the same may succeed later
	Permanent ErrorClass = "permanent" // not done, and never will be
	Unsure    ErrorClass = "unknown"   // it may have been done
	// Unreachable: there is nobody whom it could reach.
	Unreachable ErrorClass = "unreachable"
)

// SendError is an error that says what it means for the delivery.
type SendError struct {
	Class      ErrorClass
	RetryAfter time.Duration // the pause that the provider wants; 0 if it has not said
	Code       string        // the provider's, for metrics: one of a small set
	OptedOut   bool          // the recipient does not want any more by this channel
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
