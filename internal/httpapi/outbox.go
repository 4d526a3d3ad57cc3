package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/provider/outbox"
)

// outboxRoutes show what would have been sent. They exist only while a channel has no provider.
func (a *API) outboxRoutes() {
	handle(a, huma.Operation{
		OperationID: "read-outbox", Method: http.MethodGet, Path: schoolPath + "/outbox",
		Tags:    []string{tagDeliveries},
		Summary: "See what would have been sent",
		Description: "For development, and while a school is being set up: a channel without a " +
			"provider stores its messages here, as recipients would have read them, the newest " +
			"first, with the latest documents. The page /outbox shows both live.",
		Errors: []int{422},
	}, needAdmin,
		func(ctx context.Context, req *request, in *outboxInput) (*response[Outbox], error) {
			box := Outbox{Messages: []outbox.Message{}, Documents: []OutboxDocument{}}
			err := a.deps.Tables.Read(ctx, req.school, func(tx pgx.Tx) (err error) {
				if box.Counts, err = outbox.Count(ctx, tx, req.school); err != nil {
					return err
				}
				n, err := ledger.CountDocuments(ctx, tx, req.school)
				if err != nil {
					return err
				}
				if n > 0 {
					box.Counts[consumers.PDF] += n
				}
				channel := consumers.Channel(in.Channel)
				if channel != consumers.PDF {
					if box.Messages, err = outbox.Latest(ctx, tx, req.school, channel,
						in.Limit); err != nil {
						return err
					}
				}
				if channel != "" && channel != consumers.PDF {
					return nil
				}
				made, err := ledger.Documents(ctx, tx, req.school, in.Limit)
				for _, d := range made {
					box.Documents = append(box.Documents, OutboxDocument{
						d, a.deps.Consumers.StaffLink(req.school, req.bearer.Subject, d.SHA256),
					})
				}
				return err
			})
			return &response[Outbox]{box}, err
		})
	a.page("GET /outbox", "page/outbox.html", "text/html; charset=utf-8")
	a.page("GET /outbox/outbox.js", "page/outbox.js", "text/javascript; charset=utf-8")
	a.page("GET /outbox/outbox.css", "page/outbox.css", "text/css; charset=utf-8")
}

type outboxInput struct {
	Channel string `query:"channel" enum:"sms,email,push,pdf" doc:"Only this channel; pdf stands for documents"`
	Limit   int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"How many messages and how many documents to return"`
}

// Outbox lists what would have been sent.
type Outbox struct {
	Counts    map[consumers.Channel]int `json:"counts" doc:"The total by channel; pdf stands for documents"`
	Messages  []outbox.Message          `json:"messages"`
	Documents []OutboxDocument          `json:"documents"`
}

// OutboxDocument is a document with a link to it.
type OutboxDocument struct {
	ledger.Document
	Link string `json:"link" doc:"Opens without a token for an hour"`
}
