package deliveries

import (
	"time"

	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
)

// Queries are those of the outcomes.
var Queries = []query.Endpoint{
	query.Query[input, List]{
		Name:    "deliveries",
		Path:    "/deliveries",
		Summary: "Messages and documents: planned, in progress and done",
		Description: "The latest planned first, a page at a time; with a status that is an " +
			"outcome (sent, delivered, rendered, failed), the latest outcome first. With event, " +
			"all deliveries that the event caused, with totals and cost. Guardians and students " +
			"see those for themselves, without provider and cost.",
		Reads: []*projections.Projection{Projection},
		Roles: []query.Role{query.Admin, query.Office},
		Self:  true,
		Indexes: []query.Index{
			{Name: "ledger_by_time", Statement: "deliveries.planned", Request: "/deliveries"},
			{Name: "deliveries_pkey", Statement: "deliveries.planned", Request: "/deliveries"},
			{
				Name: "ledger_by_recipient", Statement: "deliveries.planned",
				Request: "/deliveries?recipient=guardian-33",
			},
			{
				Name: "ledger_by_event", Statement: "deliveries.planned",
				Request: "/deliveries?event=event-0007",
			},
			{
				Name: "deliveries_by_cause", Statement: "deliveries.unplanned",
				Request: "/deliveries?event=event-0007",
			},
			{
				Name: "ledger_by_event", Statement: "deliveries.event_totals",
				Request: "/deliveries?event=event-0007",
			},
			{
				Name: "ledger_pkey", Statement: "deliveries.planned",
				Request: "/deliveries?status=dead",
			},
			{
				Name: "deliveries_by_position", Statement: "deliveries.outcomes",
				Request: "/deliveries?status=delivered",
			},
			{
				Name: "deliveries_by_channel", Statement: "deliveries.outcomes",
				Request: "/deliveries?status=delivered&channel=push",
			},
			{
				Name: "deliveries_by_recipient", Statement: "deliveries.outcomes",
				Request: "/deliveries?status=delivered&recipient=guardian-33",
			},
			{
				Name: "deliveries_failed", Statement: "deliveries.outcomes",
				Request: "/deliveries?status=failed",
			},
		},
		Run: list,
	},
	query.Query[storyInput, Story]{
		Name:    "delivery",
		Path:    "/deliveries/{id}",
		Summary: "The history of a delivery",
		Description: "The event that caused it, the rule that planned it, each attempt, the " +
			"provider's response and the receipt. Guardians and students see the outcome of " +
			"those for themselves, and the office not what a message was filled in with.",
		Reads:   []*projections.Projection{Projection},
		Roles:   []query.Role{query.Admin, query.Office},
		ByScope: true,
		Self:    true,
		Indexes: []query.Index{
			{
				Name: "deliveries_pkey", Statement: "deliveries.one",
				Request: "/deliveries/delivery-07-0007-1",
			},
			{
				Name: "ledger_pkey", Statement: "deliveries.plan",
				Request: "/deliveries/delivery-07-0007-1",
			},
			{
				Name: "ledger_log_by_delivery", Statement: "deliveries.log",
				Request: "/deliveries/delivery-07-0007-1",
			},
		},
		Run: story,
	},
	unreachedQuery,
}

// input selects deliveries.
type input struct {
	Status    string `query:"status" enum:"planned,sending,unknown,dead,cancelled,sent,delivered,rendered,failed" doc:"Only with this status"`
	Channel   string `query:"channel" enum:"sms,email,push,in_app,pdf" doc:"Only by this channel"`
	Recipient string `query:"recipient" maxLength:"128" doc:"Only for this user, guardian or student"`
	Event     string `query:"event" maxLength:"128" doc:"Only those that this event caused, by its id"`
	Rule      string `query:"rule" maxLength:"64" doc:"Only those planned by this rule"`
	After     string `query:"after" maxLength:"2048" doc:"The next of the previous page"`
	Limit     int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Deliveries on a page"`
}

// List is a page of deliveries.
type List struct {
	Deliveries []Delivery   `json:"deliveries"`
	Next       string       `json:"next,omitzero" doc:"Pass it as after to get older ones; absent on the last page"`
	Totals     *EventTotals `json:"totals,omitzero" doc:"Totals of the event in the request, whatever its other parameters"`
}

// EventTotals sums up what one event has led to.
type EventTotals struct {
	Deliveries int64            `json:"deliveries" doc:"How many there are"`
	Cost       int64            `json:"cost" doc:"In millionths of the providers' currency"`
	ByStatus   map[string]int64 `json:"by_status"`
	ByChannel  map[string]int64 `json:"by_channel"`
}

// Delivery is one of them, in its present state.
type Delivery struct {
	ID          string    `json:"id"`
	Status      string    `json:"status" doc:"An outcome: sent (a provider has taken it), delivered, rendered (a document is stored) or failed. Until there is one: planned (it waits for its turn, its time or the next attempt), sending, unknown (it may have been sent, and is not sent again until an operator decides), dead (all attempts failed) or cancelled"`
	Channel     string    `json:"channel"`
	Recipient   string    `json:"recipient" doc:"The id of the user, never an address"`
	Provider    string    `json:"provider,omitzero"`
	ProviderID  string    `json:"provider_id,omitzero" doc:"The provider's id of it"`
	Cost        int64     `json:"cost,omitzero" doc:"In millionths of the provider's currency"`
	Error       string    `json:"error,omitzero"`
	Event       string    `json:"event,omitzero" doc:"The id of the event that caused it"`
	Rule        string    `json:"rule,omitzero" doc:"Which rule planned it"`
	Correlation string    `json:"correlation,omitzero"`
	Document    *Document `json:"document,omitzero"`
	PlannedAt   time.Time `json:"planned_at,omitzero"`
	SentAt      time.Time `json:"sent_at,omitzero"`
	DeliveredAt time.Time `json:"delivered_at,omitzero"`
	FailedAt    time.Time `json:"failed_at,omitzero"`
	RenderedAt  time.Time `json:"rendered_at,omitzero"`

	position                          int64
	kind, student, sha256             string
	bytes                             int64
	sent, delivered, failed, rendered *time.Time
	planned                           *time.Time
}

// Document is what was made.
type Document struct {
	Kind      string `json:"kind"`
	StudentID string `json:"student_id"`
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes" doc:"The size of the file"`
}

// columns are those of an outcome, in the order of into.
const columns = `d.delivery_id, d.status, d.channel, d.recipient, d.provider, d.provider_id,
	d.cost, d.error, d.cause, d.correlation,
	d.position, d.kind, d.student_id, d.sha256, d.bytes, d.sent_at, d.delivered_at, d.failed_at,
	d.rendered_at, '', NULL::timestamptz`

func deliveryFields(d *Delivery) []any {
	return []any{
		&d.ID, &d.Status, &d.Channel, &d.Recipient, &d.Provider, &d.ProviderID, &d.Cost, &d.Error,
		&d.Event, &d.Correlation,
		&d.position, &d.kind, &d.student, &d.sha256, &d.bytes, &d.sent, &d.delivered, &d.failed,
		&d.rendered, &d.Rule, &d.planned,
	}
}

// finish turns rows into what is shown.
func finish(all []Delivery, scope query.Scope) {
	for i := range all {
		d := &all[i]
		if d.kind != "" {
			d.Document = &Document{d.kind, d.student, d.sha256, d.bytes}
		}
		for _, t := range []struct {
			from *time.Time
			to   *time.Time
		}{
			{d.sent, &d.SentAt},
			{d.delivered, &d.DeliveredAt},
			{d.failed, &d.FailedAt},
			{d.rendered, &d.RenderedAt},
			{d.planned, &d.PlannedAt},
		} {
			if t.from != nil {
				*t.to = t.from.UTC()
			}
		}
		// the content is in the message; provider and cost are the school's business
		if scope.Self != "" {
			d.Provider, d.ProviderID, d.Cost, d.Error, d.Correlation, d.Rule = "", "", 0, "", "", ""
		}
	}
}
