package httpapi

import (
	"context"
	"net/http"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
)

// Consumers is what the API needs of the job consumers. They need not run in the same process.
type Consumers struct {
	Ledger   *ledger.Ledger
	Settings *ledger.Settings
	Planners *consumers.Planners
	// Replan plans the event at a position again; nil offers no route for it.
	Replan func(ctx context.Context, at domain.Position) error

	// Link makes an address for a document, by its hash.
	Link func(hash string) string
	// PushKey is what browsers need to subscribe to notices; empty where they are not sent.
	PushKey string
	// Outbox lets administrators look at what would have been sent, where channels end in the outbox.
	Outbox bool
	// SMSCallback takes the receipts of text messages; nil when there are none.
	SMSCallback http.Handler
	// Documents serves what links lead to; nil when there is nothing to serve.
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
	}
	if c.Documents != nil {
		a.linkRoutes()
	}
}
