package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers/provider/inbox"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/projections/query"
)

// inboxRoutes let users read their own messages. The user is in every statement, and set for the
// transaction, so that row security holds even when a statement forgets it.
func (a *API) inboxRoutes() {
	const path = schoolPath + "/inbox"
	handle(a, huma.Operation{
		OperationID: "read-inbox", Method: http.MethodGet, Path: path, Tags: []string{tagInbox},
		Summary: "Read your inbox",
		Description: "The caller's messages, the newest first, and how many are unread. Live " +
			"clients are notified of a new message: the user's room, which each connection joins " +
			"(see stream-events), receives a schoolbell.delivery.delivered.v1 with channel " +
			"in_app, whose delivery_id is the message's id.",
		Errors: []int{422},
	}, needMember,
		func(ctx context.Context, req *request, in *inboxInput) (*response[*inbox.Page], error) {
			today, err := a.deps.Today(ctx, req.school)
			if err != nil {
				return nil, err
			}
			policy, err := a.deps.Policy(ctx, req.school)
			if err != nil {
				return nil, err
			}
			v := &viewer{bearer: bearerOf(req.bearer), policy: policy, private: true}
			v.inSnapshot = access.NeedsDirectory(&v.bearer)
			v.scope = access.For(&v.bearer, nil, policy)
			var page *inbox.Page
			err = a.deps.Tables.AsUser(ctx, req.school, req.bearer.Subject,
				func(tx pgx.Tx) error {
					see, err := a.within(ctx, tx, v, query.Scope{School: req.school, Today: today}, "")
					if err != nil {
						return err
					}
					page, err = inbox.Read(ctx, tx, inbox.Query{
						School: req.school, User: req.bearer.Subject, Unread: in.Unread,
						After: in.After, About: see.Among(access.Names),
						Limit: in.Limit, Link: a.linkFor(req.bearer),
					})
					return err
				})
			// The cursor is opaque to callers, so a wrong one was tampered with or is of an older
			// release.
			if errors.Is(err, inbox.ErrCursor) {
				return nil, wrongParameter("after", inbox.ErrCursor.Error())
			}
			return &response[*inbox.Page]{page}, err
		})
	handle(a, huma.Operation{
		OperationID: "mark-as-read", Method: http.MethodPost, Path: path + "/{id}/read",
		Tags:    []string{tagInbox},
		Summary: "Mark a message as read", Description: "Repeating it changes nothing.",
		DefaultStatus: http.StatusNoContent, Errors: []int{404},
	}, needMember, func(ctx context.Context, req *request, in *messageInput) (*empty, error) {
		return nil,
			a.deps.Tables.AsUser(ctx, req.school, req.bearer.Subject, func(tx pgx.Tx) error {
				found, err := inbox.MarkRead(ctx, tx, req.school, req.bearer.Subject, in.ID)
				if err == nil && !found {
					return query.ErrNotFound
				}
				return err
			})
	})
	handle(a, huma.Operation{
		OperationID: "mark-all-as-read", Method: http.MethodPost, Path: path + "/read",
		Tags:    []string{tagInbox},
		Summary: "Mark all messages as read", DefaultStatus: http.StatusNoContent,
	}, needMember, func(ctx context.Context, req *request, _ *empty) (*empty, error) {
		return nil,
			a.deps.Tables.AsUser(ctx, req.school, req.bearer.Subject, func(tx pgx.Tx) error {
				return inbox.MarkAllRead(ctx, tx, req.school, req.bearer.Subject)
			})
	})
}

// linkFor returns what makes links to documents for a bearer.
func (a *API) linkFor(bearer auth.Principal) func(hash string) string {
	return func(hash string) string {
		return a.deps.Consumers.Link(bearer.School, bearer.Subject, hash)
	}
}

type inboxInput struct {
	Unread bool   `query:"unread" doc:"Only unread messages"`
	After  string `query:"after" maxLength:"512" doc:"The next of the previous page"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Messages per page"`
}

type messageInput struct {
	ID string `path:"id" maxLength:"128" doc:"The message's id"`
}

// wrongParameter is a problem with one query parameter.
func wrongParameter(name, reason string) *Problem {
	p := problem(http.StatusUnprocessableEntity, "some parameters are invalid")
	p.Errors = []ProblemError{{Parameter: "query." + name, Reason: reason}}
	return p
}
