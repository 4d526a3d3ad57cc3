package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/ingest/authors"
)

type actorsInput struct {
	Actor   string `query:"actor" maxLength:"128" doc:"Only this one, as authsub of an event has it"`
	Subject string `query:"subject" maxLength:"255" doc:"Only those with this sub"`
	After   string `query:"after" maxLength:"128" doc:"The next of the previous page"`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Actors per page"`
}

// Actors is a page of those who wrote events of a school.
type Actors struct {
	Actors []authors.Actor `json:"actors"`
	Next   string          `json:"next,omitzero" doc:"Pass as after to get the next ones; absent on the last page"`
}

// actorRoutes adds the route that says who wrote events.
func (a *API) actorRoutes() {
	handle(a, huma.Operation{
		OperationID: "list-actors", Method: http.MethodGet, Path: schoolPath + "/actors",
		Tags: []string{tagEvents}, Summary: "Say who wrote events",
		Description: "Events name the bearer of the token that they were written with by a hash, " +
			"in authsub, and the token by its id, in authjti; no producer can set them. This " +
			"says whose hash it is. What is in actor, in contrast, is a claim of the producer. " +
			"authsub is kafka:TOPIC for events of an inbox, and schoolbell for what Schoolbell " +
			"found out itself; neither is listed.",
		Errors: []int{422},
	}, needAdmin, a.listActors)
}

func (a *API) listActors(
	ctx context.Context, req *request, in *actorsInput,
) (*response[Actors], error) {
	page := Actors{Actors: []authors.Actor{}}
	err := a.deps.Tables.Read(ctx, req.school, func(tx pgx.Tx) error {
		// One more than the page tells whether there is a next one.
		found, err := authors.List(ctx, tx, req.school, authors.Filter{
			Actor: in.Actor, Subject: in.Subject, After: in.After, Limit: in.Limit + 1,
		})
		page.Actors = append(page.Actors, found...)
		return err
	})
	if len(page.Actors) > in.Limit {
		page.Actors = page.Actors[:in.Limit]
		page.Next = page.Actors[in.Limit-1].Actor
	}
	return &response[Actors]{page}, err
}
