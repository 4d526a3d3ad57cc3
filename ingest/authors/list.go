package authors

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Actor says whom the authsub of events stands for.
type Actor struct {
	Actor    string    `json:"actor" doc:"The authsub of events"`
	Subject  string    `json:"subject" doc:"The sub of the tokens that they were written with"`
	Operator bool      `json:"operator,omitzero" doc:"A token for all schools, of an operator of the platform"`
	FirstAt  time.Time `json:"first_at" doc:"When it was first seen"`
}

// Filter picks actors of a school, in the order of their hashes. What is empty matches all.
type Filter struct {
	Actor   string
	Subject string
	After   string // only actors behind this one
	Limit   int
}

// List returns actors of a school.
func List(ctx context.Context, tx pgx.Tx, school string, f Filter) ([]Actor, error) {
	rows, err := tx.Query(ctx, `
		SELECT actor, subject, operator, first_at FROM schoolbell.actors
		WHERE school = $1 AND actor > $2 AND ($3 = '' OR actor = $3) AND ($4 = '' OR subject = $4)
		ORDER BY actor LIMIT $5`, school, f.After, f.Actor, f.Subject, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list actors: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Actor])
	if err != nil {
		return nil, fmt.Errorf("list actors: %w", err)
	}
	return list, nil
}
