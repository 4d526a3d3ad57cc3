package deliveries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

// Queries are the questions to the outcomes.
var Queries = []query.Endpoint{
	query.Query[Input, Answer]{
		Name:    "deliveries",
		Path:    "/deliveries",
		Summary: "What was sent and made, and what became of it",
		Description: "Deliveries with an outcome, the latest first, a page at a time. With event, everybody who is told about that " +
			"event instead: also what is still planned, and at most 1,000.",
		Reads: []*projections.Projection{Projection},
		Roles: []query.Role{query.Admin},
		Run:   list,
	},
	query.Query[StoryInput, Story]{
		Name:    "delivery",
		Path:    "/deliveries/{id}",
		Summary: "The story of a delivery",
		Description: "From the event that it is because of, by the rule that planned it and each attempt, to what the provider " +
			"said and the receipt.",
		Reads: []*projections.Projection{Projection},
		Roles: []query.Role{query.Admin},
		Run:   story,
	},
}

// Input says which deliveries.
type Input struct {
	Status  string `query:"status" enum:"sent,delivered,failed,rendered" doc:"Only with this status"`
	Channel string `query:"channel" enum:"sms,email,push,in_app,pdf" doc:"Only by this channel"`
	Event   string `query:"event" maxLength:"128" doc:"Only because of this event, by its id"`
	After   string `query:"after" maxLength:"2048" doc:"The next of the page before"`
	Limit   int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Deliveries on a page"`
}

// Answer is a page of deliveries.
type Answer struct {
	Deliveries []Delivery `json:"deliveries"`
	Next       string     `json:"next,omitzero" doc:"Give it as after to get older ones; absent on the last page"`
}

// Delivery is one of them, as far as it has come.
type Delivery struct {
	ID          string    `json:"id"`
	Status      string    `json:"status" doc:"sent, delivered, failed or rendered; before that the ledger's: planned, sending, unknown, dead or cancelled"`
	Channel     string    `json:"channel"`
	Recipient   string    `json:"recipient" doc:"The id of the user, never an address"`
	Provider    string    `json:"provider,omitzero"`
	ProviderID  string    `json:"provider_id,omitzero" doc:"What the provider calls it"`
	Cost        int64     `json:"cost,omitzero" doc:"In millionths of the provider's currency"`
	Error       string    `json:"error,omitzero"`
	Event       string    `json:"event,omitzero" doc:"The id of the event that it is because of"`
	Correlation string    `json:"correlation,omitzero"`
	Document    *Document `json:"document,omitzero"`
	SentAt      time.Time `json:"sent_at,omitzero"`
	DeliveredAt time.Time `json:"delivered_at,omitzero"`
	FailedAt    time.Time `json:"failed_at,omitzero"`
	RenderedAt  time.Time `json:"rendered_at,omitzero"`

	position                          int64
	kind, student, sha256             string
	bytes                             int64
	sent, delivered, failed, rendered *time.Time
}

// Document is what was made.
type Document struct {
	Kind      string `json:"kind"`
	StudentID string `json:"student_id"`
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes"`
}

// columns are those of an outcome, in the order of into.
const columns = `d.delivery_id, d.status, d.channel, d.recipient, d.provider, d.provider_id, d.cost, d.error, d.cause, d.correlation,
	d.position, d.kind, d.student_id, d.sha256, d.bytes, d.sent_at, d.delivered_at, d.failed_at, d.rendered_at`

func into(d *Delivery) []any {
	return []any{
		&d.ID, &d.Status, &d.Channel, &d.Recipient, &d.Provider, &d.ProviderID, &d.Cost, &d.Error, &d.Event, &d.Correlation,
		&d.position, &d.kind, &d.student, &d.sha256, &d.bytes, &d.sent, &d.delivered, &d.failed, &d.rendered,
	}
}

// finish makes of what was read what is shown.
func finish(all []Delivery) {
	for i := range all {
		d := &all[i]
		if d.kind != "" {
			d.Document = &Document{d.kind, d.student, d.sha256, d.bytes}
		}
		for _, t := range []struct {
			from *time.Time
			to   *time.Time
		}{{d.sent, &d.SentAt}, {d.delivered, &d.DeliveredAt}, {d.failed, &d.FailedAt}, {d.rendered, &d.RenderedAt}} {
			if t.from != nil {
				*t.to = t.from.UTC()
			}
		}
	}
}

const listSQL read.SQL = `-- deliveries.list
SELECT ` + columns + ` FROM deliveries d
WHERE school = $1 AND position < $2 /*where*/ ORDER BY position DESC LIMIT $3`

// eventSQL is whoever the ledger has planned to tell, with the outcomes; and outcomes that the ledger does not know, as
// after it was lost.
const eventSQL read.SQL = `-- deliveries.event
SELECT l.id, coalesce(d.status, l.state), l.channel, l.recipient, coalesce(nullif(d.provider, ''), l.provider),
	coalesce(nullif(d.provider_id, ''), l.provider_id), greatest(d.cost, l.cost), coalesce(d.error, l.error), l.event_id, l.correlation_id,
	coalesce(d.position, 0), coalesce(d.kind, ''), coalesce(d.student_id, ''), coalesce(d.sha256, ''), coalesce(d.bytes, 0),
	d.sent_at, d.delivered_at, d.failed_at, d.rendered_at
FROM ledger l LEFT JOIN deliveries d ON d.school = $1 AND d.delivery_id = l.id
WHERE l.school = $1 AND l.event_id = $2 /*planned*/
UNION ALL
SELECT ` + columns + ` FROM deliveries d
WHERE d.school = $1 AND d.cause = $2 AND NOT EXISTS (SELECT FROM ledger l WHERE l.id = d.delivery_id AND l.school = $1) /*where*/
ORDER BY 3, 4, 1 LIMIT $3`

const (
	newest    = int64(1<<63 - 1)
	mostTold  = 1000
	usualPage = 50
	mostPage  = 500
)

func list(ctx context.Context, tx pgx.Tx, asked query.Asked, in *Input) (*Answer, error) {
	if in.Event != "" {
		return told(ctx, tx, asked, in)
	}
	before, err := read.ParseCursor[int64](in.After)
	if err != nil {
		return nil, err
	}
	position := newest
	if before != nil {
		position = *before
	}
	limit := read.Page(in.Limit, usualPage, mostPage)
	conditions, args := in.filter("", asked.School, position, limit+1)
	all, err := read.All(ctx, tx, listSQL.With(conditions...), into, args...)
	if err != nil {
		return nil, err
	}
	finish(all)
	a := &Answer{}
	a.Deliveries, a.Next, err = read.Cut(all, limit, func(d Delivery) int64 { return d.position })
	return a, err
}

// told is who was told about an event.
func told(ctx context.Context, tx pgx.Tx, asked query.Asked, in *Input) (*Answer, error) {
	outcomes, args := in.filter("d.", asked.School, in.Event, mostTold)
	var planned []string
	if in.Status != "" {
		planned = append(planned, "coalesce(d.status, l.state) = '"+in.Status+"'") // one of an enumeration
	}
	if in.Channel != "" {
		planned = append(planned, fmt.Sprintf("l.channel = $%d", len(args)))
	}
	all, err := read.All(ctx, tx, eventSQL.With(outcomes...).Put("planned", planned...), into, args...)
	finish(all)
	return &Answer{Deliveries: all}, err
}

// filter adds the conditions of an input to a statement's parameters. The status is written out, as only so the index of
// those that failed can be used.
func (in *Input) filter(of string, args ...any) (conditions []string, all []any) {
	if in.Status != "" {
		conditions = append(conditions, of+"status = '"+in.Status+"'") // one of an enumeration
	}
	if in.Channel != "" {
		args = append(args, in.Channel)
		conditions = append(conditions, fmt.Sprintf("%schannel = $%d", of, len(args)))
	}
	return conditions, args
}
