package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Record says that somebody read something within an hour.
type Record struct {
	Hour    time.Time `json:"hour"`
	Subject string    `json:"subject" doc:"The sub of the reader's token"`
	TokenID string    `json:"token_id,omitzero" doc:"Its jti"`
	Roles   string    `json:"roles,omitzero" doc:"Its roles, separated by commas"`
	Thing   string    `json:"thing" doc:"student:ID, document:SHA256, room:NAME, or a list with its filter; of what was refused also a route, with its method unless that is GET. 'audit: gap' says that records are missing, 'audit: others' sums up what was refused beyond a thousand in an hour"`
	Channel string    `json:"channel,omitzero" doc:"REST, 304 (the reader had it already), socket read, room joined or signed link"`
	Refused bool      `json:"refused" doc:"The reader may not see or do it, and did not"`
	FirstAt time.Time `json:"first_at"`
	LastAt  time.Time `json:"last_at"`
	Count   int64     `json:"count" doc:"How often, in this hour"`
}

// Filter picks records. What is empty matches all.
type Filter struct {
	Subject  string
	Thing    string
	From, To time.Time // of the hours; To is excluded
	After    *Record   // only records behind this one
	Limit    int
}

var endOfTime = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

// List returns records of a school, the latest hours first.
func List(ctx context.Context, tx pgx.Tx, school string, f Filter) ([]Record, error) {
	after := Record{Hour: endOfTime}
	if f.After != nil {
		after = *f.After
	}
	to := f.To
	if to.IsZero() {
		to = endOfTime
	}
	rows, err := tx.Query(ctx, `
		SELECT hour, subject, token_id, roles, thing, channel, refused, first_at, last_at, count
		FROM schoolbell.audit
		WHERE school = $1 AND hour >= $2 AND hour < $3 AND ($4 = '' OR subject = $4)
			AND ($5 = '' OR thing = $5)
			AND (hour, thing, subject, token_id, roles, channel, refused) <
				($6, $7, $8, $9, $10, $11, $12)
		ORDER BY hour DESC, thing DESC, subject DESC, token_id DESC, roles DESC, channel DESC,
			refused DESC
		LIMIT $13`, school, f.From, to, f.Subject, f.Thing, after.Hour, after.Thing, after.Subject,
		after.TokenID, after.Roles, after.Channel, after.Refused, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list the audit: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Record])
	if err != nil {
		return nil, fmt.Errorf("list the audit: %w", err)
	}
	for i := range list {
		r := &list[i]
		r.Hour, r.FirstAt, r.LastAt = r.Hour.UTC(), r.FirstAt.UTC(), r.LastAt.UTC()
	}
	return list, nil
}
