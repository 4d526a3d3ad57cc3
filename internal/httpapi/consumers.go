package httpapi

import (
	"context"
	"net/http"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
)

// Consumers is the part of the message consumers that the API uses. They need not run in this
// process.
type Consumers struct {
	Ledger   *ledger.Ledger
	Settings *ledger.Settings
	Planners *consumers.Planners
	// Replan plans the event at a position again; nil offers no route for it.
	Replan func(ctx context.Context, at domain.Position) error
	// DeadLetters are records that were refused at an inbox or skipped in the log; nil: there are
	// only those that could not be planned.
	DeadLetters deadletter.Querier
	// RetryLetter brings a record that was refused at an inbox to the log, if it may enter it now.
	RetryLetter func(ctx context.Context, letter *deadletter.Letter) error

	// Link returns a URL for a document, by its hash. It ends with the access of the user that it
	// is made for.
	Link func(school, user, hash string) string
	// StaffLink returns one for a user who may read all documents of the school, for an hour.
	StaffLink func(school, user, hash string) string
	// PushKey is the VAPID public key that browsers subscribe with; empty: no web push.
	PushKey string
	// Outbox adds the routes that show what would have been sent, for channels without a provider.
	Outbox bool
	// SMSCallback takes the receipts of text messages; nil: the provider sends none.
	SMSCallback http.Handler
	// SMSInbound takes the texts that recipients send back; nil as SMSCallback is.
	SMSInbound http.Handler
	// Documents serves documents by their links; nil: there is no store of documents.
	Documents http.Handler
}

func (a *API) consumerRoutes() {
	c := a.deps.Consumers
	a.deliveryRoutes()
	a.operationRoutes()
	a.settingsRoutes()
	a.inboxRoutes()
	if c.PushKey != "" {
		a.pushRoutes()
	}
	if c.Outbox {
		a.outboxRoutes()
	}
	if c.SMSCallback != nil {
		a.callbackRoutes()
		a.inboundRoute()
	}
	if c.Documents != nil {
		a.linkRoutes()
	}
}
