// Package deliveries is what became of everything that Schoolbell has sent or made: one row for
// each delivery, folded from the outcomes in the log. The log alone is enough to make it again; the
// ledger, which plans and executes deliveries, is read for what has no outcome yet, and for how it
// came to one.
//
// Outcomes are accepted in any order and any number of times, because receipts arrive at any time.
// What has arrived has arrived, whatever is reported later about another attempt. Otherwise the
// latest attempt counts, and in one attempt a failure counts more than the provider's acceptance.
//
// deliveries.go folds outcomes; list.go and story.go join them with the views that the ledger exports,
// as the ledger's tables belong to package consumers/ledger. The first change for another outcome is a
// status with its weight.
package deliveries

import (
	"strconv"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/delivery"
	"github.com/schoolbell/schoolbell/domain/document"
	"github.com/schoolbell/schoolbell/projections"
)

// Projection is the read model.
var Projection = projections.New("deliveries", 1,
	deliveries,
	projections.On(sent),
	projections.On(delivered),
	projections.On(failed),
	projections.On(cancelled),
	projections.On(rendered),
)

var deliveries = projections.NewTable[key, row]("deliveries")

type key struct {
	School     string `db:"school"`
	DeliveryID string `db:"delivery_id"`
}

type row struct {
	Status      string    `db:"status"`
	Attempt     int64     `db:"attempt"` // that the status is of
	Channel     string    `db:"channel"`
	Recipient   string    `db:"recipient"`
	Provider    string    `db:"provider"`
	ProviderID  string    `db:"provider_id"`
	Cost        int64     `db:"cost"`
	Error       string    `db:"error"`
	Cause       string    `db:"cause"`
	Correlation string    `db:"correlation"`
	Kind        string    `db:"kind"`
	StudentID   string    `db:"student_id"`
	SHA256      string    `db:"sha256"`
	Bytes       int64     `db:"bytes"`
	SentAt      time.Time `db:"sent_at"`
	DeliveredAt time.Time `db:"delivered_at"`
	FailedAt    time.Time `db:"failed_at"`
	RenderedAt  time.Time `db:"rendered_at"`
	Position    int64     `db:"position"`
}

// The statuses.
const (
	statusSent      = "sent"
	statusFailed    = "failed"
	statusDelivered = "delivered"
	statusRendered  = "rendered"
	statusCancelled = "cancelled"
)

func sent(b *projections.Batch, e *domain.Envelope, m *delivery.Sent) error {
	return outcome(b, e, (*delivery.Outcome)(m), statusSent)
}

func delivered(b *projections.Batch, e *domain.Envelope, m *delivery.Delivered) error {
	return outcome(b, e, (*delivery.Outcome)(m), statusDelivered)
}

func failed(b *projections.Batch, e *domain.Envelope, m *delivery.Failed) error {
	return outcome(b, e, (*delivery.Outcome)(m), statusFailed)
}

func cancelled(b *projections.Batch, e *domain.Envelope, m *delivery.Cancelled) error {
	return outcome(b, e, (*delivery.Outcome)(m), statusCancelled)
}

func outcome(b *projections.Batch, e *domain.Envelope, m *delivery.Outcome, status string) error {
	k := key{e.School, m.DeliveryID}
	r := about(b, k, e)
	r.Channel, r.Recipient = m.Channel, m.Recipient
	r.Cost = max(r.Cost, m.Cost)
	switch at := e.Time.UTC(); status {
	case statusSent:
		r.SentAt = at
	case statusDelivered:
		r.DeliveredAt = at
	case statusFailed:
		r.FailedAt = at
	}
	r.Provider = m.Provider
	if m.ProviderID != "" {
		r.ProviderID = m.ProviderID
	}
	if attempt := attemptOf(e.ID); r.yieldsTo(status, attempt) {
		r.Status, r.Attempt, r.Error = status, attempt, m.Error
	}
	deliveries.Put(b, k, r)
	return nil
}

// rendered may be folded before or after a failure of the same delivery, as it is about the
// student.
func rendered(b *projections.Batch, e *domain.Envelope, m *document.Rendered) error {
	k := key{e.School, m.DocumentID}
	r := about(b, k, e)
	if r.Channel == "" {
		r.Channel, r.Recipient = "pdf", m.StudentID
	}
	r.Kind, r.StudentID, r.SHA256, r.Bytes, r.RenderedAt = m.Kind, m.StudentID, m.SHA256, m.Bytes,
		e.Time.UTC()
	r.Status, r.Attempt, r.Error = statusRendered, attemptOf(e.ID), ""
	deliveries.Put(b, k, r)
	return nil
}

// about returns a delivery with what every event says about it.
func about(b *projections.Batch, k key, e *domain.Envelope) row {
	r, exists := deliveries.Get(b, k)
	if !exists || e.Position.Offset < r.Position {
		r.Position = e.Position.Offset
	}
	if e.CausationID != "" {
		r.Cause, r.Correlation = e.CausationID, e.CorrelationID
	}
	return r
}

// weight says how much a status counts.
var weight = map[string]int{
	statusSent: 1, statusCancelled: 2, statusFailed: 2, statusDelivered: 3, statusRendered: 4,
}

func (r *row) yieldsTo(status string, attempt int64) bool {
	mine, other := weight[r.Status], weight[status]
	if arrived := weight[statusDelivered]; mine >= arrived || other >= arrived ||
		attempt == r.Attempt {
		return other >= mine
	}
	return attempt > r.Attempt
}

// attemptOf reads which start of a delivery's job an outcome is of: the end of the event's id, as
// the ledger makes them.
func attemptOf(eventID string) int64 {
	n, err := strconv.ParseInt(eventID[strings.LastIndexByte(eventID, '-')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
