package httpapi

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
)

// operationsPath is the prefix of everything that concerns all schools. Only operators of the
// platform come in.
const operationsPath = "/v1/operations"

func (a *API) operationRoutes() {
	c := a.deps.Consumers
	operation(a, huma.Operation{
		OperationID: "list-all-deliveries", Method: http.MethodGet,
		Path:    operationsPath + "/deliveries",
		Summary: "List deliveries of all schools",
		Description: "From the ledger, the latest planned first. Dead deliveries (every attempt " +
			"failed) and unknown ones (possibly sent; never sent again on their own) need a " +
			"decision: see retry-delivery and discard-delivery.",
		Errors: []int{404, 422},
	}, a.listAllDeliveries)
	operation(a, huma.Operation{
		OperationID: "get-any-delivery", Method: http.MethodGet,
		Path:    operationsPath + "/deliveries/{id}",
		Summary: "Get a delivery of any school, with its log", Errors: []int{404},
	}, func(ctx context.Context, _ *request, in *deliveryInput) (*response[*ledger.Entry], error) {
		entry, err := c.Ledger.Show(ctx, in.ID)
		return &response[*ledger.Entry]{entry}, err
	})
	operation(a, huma.Operation{
		OperationID: "repair-deliveries", Method: http.MethodPost,
		Path:    operationsPath + "/deliveries/repair",
		Summary: "Repair deliveries whose job was lost",
		Description: "Reads the whole ledger for deliveries that are due but have no job, for " +
			"example after River's table was restored from a backup, and gives them one. Safe at " +
			"any time: what is done is not done again.",
		Errors: []int{422},
	}, func(ctx context.Context, _ *request, in *repairInput) (*response[Repaired], error) {
		after, err := time.ParseDuration(in.After)
		if err != nil || after < 0 {
			return nil, wrongParameter("after", "must be a duration, for example 10m")
		}
		n, err := c.Ledger.Repair(ctx, after)
		return &response[Repaired]{Repaired{n}}, err
	})
	operation(a, huma.Operation{
		OperationID: "list-queues", Method: http.MethodGet, Path: operationsPath + "/queues",
		Summary: "List queues and what waits in them",
	}, func(ctx context.Context, _ *request, _ *empty) (*response[Queues], error) {
		queues, err := a.queues(ctx, ledger.Queues()...)
		return &response[Queues]{Queues{queues}}, err
	})
	a.queueSwitch("pause", "Pause a queue",
		"In all processes and for all schools. Jobs that are running finish.", c.Ledger.Pause)
	a.queueSwitch("resume", "Resume a queue", "What has waited starts, the most urgent first.",
		c.Ledger.Resume)
	a.deadLetterRoutes()
}

// listAllInput picks deliveries of the ledger; what is left out matches all.
type listAllInput struct {
	School string `query:"school" maxLength:"128" doc:"Only of this school"`
	State  string `query:"state" enum:"planned,sending,unknown,dead,cancelled,sent,delivered,rendered,failed" doc:"Only in this state"`
	Queue  string `query:"queue" enum:"sms,pdf,notification" doc:"Only of this queue"`
	Event  string `query:"event" maxLength:"128" doc:"Only those caused by the event with this id"`
	Rule   string `query:"rule" maxLength:"64" doc:"Only those planned by this rule"`
	After  string `query:"after" maxLength:"128" doc:"The next of the previous page"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Deliveries per page"`
}

// LedgerPage is a page of the ledger.
type LedgerPage struct {
	Deliveries []*ledger.Entry `json:"deliveries"`
	Next       string          `json:"next,omitzero" doc:"Pass as after to get older ones; absent on the last page"`
}

func (a *API) listAllDeliveries(
	ctx context.Context, _ *request, in *listAllInput,
) (*response[LedgerPage], error) {
	if in.After != "" {
		if _, err := a.deps.Consumers.Ledger.Show(ctx, in.After); err != nil {
			return nil, wrongParameter("after", "is not the next of a page")
		}
	}
	// One more than the page tells whether there is a next one.
	entries, err := a.deps.Consumers.Ledger.List(ctx, ledger.Filter{
		School: in.School, State: consumers.State(in.State), Queue: in.Queue, EventID: in.Event,
		Planner: in.Rule,
		After:   in.After, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	page := LedgerPage{Deliveries: append([]*ledger.Entry{}, entries...)}
	if len(entries) > in.Limit {
		page.Deliveries, page.Next = page.Deliveries[:in.Limit], entries[in.Limit-1].ID
	}
	return &response[LedgerPage]{page}, nil
}

type repairInput struct {
	After string `query:"after" default:"10m" doc:"Only deliveries that have not changed for this long"`
}

// Repaired counts deliveries that got a new job.
type Repaired struct {
	Repaired int `json:"repaired"`
}

// Queues lists all of them.
type Queues struct {
	Queues []Queue `json:"queues"`
}

// Queue is the state of one queue, which all schools share.
type Queue struct {
	Queue  string  `json:"queue"`
	Paused bool    `json:"paused"`
	Jobs   []Depth `json:"jobs" doc:"Jobs that are not done, by priority and state"`
}

// Depth counts jobs that are not done.
type Depth struct {
	Priority int    `json:"priority" doc:"1 is the most urgent"`
	State    string `json:"state" doc:"available (waits for a worker), running, scheduled, retryable or pending"`
	Jobs     int64  `json:"jobs"`
}

type queueInput struct {
	Queue string `path:"queue" enum:"sms,pdf,notification,reminders"`
}

func (a *API) queueSwitch(
	verb, summary, description string, do func(ctx context.Context, queue string) error,
) {
	operation(a, huma.Operation{
		OperationID: verb + "-queue", Method: http.MethodPost,
		Path:    operationsPath + "/queues/{queue}/" + verb,
		Summary: summary, Description: description, Errors: []int{409, 422},
	}, func(ctx context.Context, _ *request, in *queueInput) (*response[Queue], error) {
		if err := do(ctx, in.Queue); err != nil {
			return nil, err
		}
		queues, err := a.queues(ctx, in.Queue)
		if err != nil {
			return nil, err
		}
		return &response[Queue]{queues[0]}, nil
	})
}

// queues returns the state of the named queues, in that order.
func (a *API) queues(ctx context.Context, names ...string) ([]Queue, error) {
	depths, err := a.deps.Consumers.Ledger.Depths(ctx)
	if err != nil {
		return nil, err
	}
	paused, err := a.deps.Consumers.Ledger.Paused(ctx)
	if err != nil {
		return nil, err
	}
	var all []Queue
	for _, name := range names {
		q := Queue{Queue: name, Paused: slices.Contains(paused, name), Jobs: []Depth{}}
		for _, d := range depths {
			if d.Queue == name {
				q.Jobs = append(q.Jobs, Depth{d.Priority, d.State, d.Jobs})
			}
		}
		all = append(all, q)
	}
	return all, nil
}
