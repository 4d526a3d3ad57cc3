package httpapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/projections/query"
)

// jobRoutes are what administrators do about the deliveries of their school, and operators about the queues of all. The
// commands of `schoolbell jobs` do the same.
func (a *API) jobRoutes() {
	const jobs = schoolPath + "/jobs"
	handle(a, huma.Operation{
		OperationID: "list-jobs", Method: http.MethodGet, Path: jobs, Tags: []string{"Jobs"},
		Summary: "List the deliveries of a school as work",
		Description: "As the ledger has them, the latest planned first. What wants somebody's attention is dead (all attempts failed) " +
			"or unknown (it may have been done, and nobody does it again before somebody knows); planned waits for its turn or its next " +
			"attempt, and sending is what a worker is at. What became of deliveries, for everybody to read, is at …/deliveries.",
		Errors: []int{422},
	}, needAdmin, a.listJobs)
	handle(a, huma.Operation{
		OperationID: "show-job", Method: http.MethodGet, Path: jobs + "/{id}", Tags: []string{"Jobs"},
		Summary: "Show one delivery with each attempt", Errors: []int{404},
	}, needAdmin, func(ctx context.Context, v visit, in *jobInput) (*response[*ledger.Entry], error) {
		return a.job(ctx, v, in.ID)
	})
	for _, change := range []struct {
		verb, summary, description string
		do                         func(ctx context.Context, id, actor string) error
	}{
		{"retry", "Do a delivery again", "One that is dead, failed, cancelled or unknown, or at once what would wait for its next attempt. " +
			"Whoever retries one that is unknown says that it may be done twice.", a.deps.Consumers.Ledger.Retry},
		{"discard", "Give a delivery up", "One that is dead or unknown. It counts as failed from then on.", a.deps.Consumers.Ledger.Discard},
		{"cancel", "Keep a delivery from being done", "One that has not begun, or is dead.", a.deps.Consumers.Ledger.Cancel},
	} {
		handle(a, huma.Operation{
			OperationID: change.verb + "-job", Method: http.MethodPost, Path: jobs + "/{id}/" + change.verb, Tags: []string{"Jobs"},
			Summary: change.summary, Description: change.description + " Who did it is in the delivery's log.", Errors: []int{404, 409},
		}, needAdmin, func(ctx context.Context, v visit, in *jobInput) (*response[*ledger.Entry], error) {
			if _, err := a.job(ctx, v, in.ID); err != nil {
				return nil, err
			}
			if err := change.do(ctx, in.ID, v.bearer.Subject); err != nil {
				return nil, err
			}
			return a.job(ctx, v, in.ID)
		})
	}
	a.queueRoutes()
}

type jobsInput struct {
	State   string `query:"state" enum:"planned,sending,unknown,dead,cancelled,sent,delivered,rendered,failed" doc:"Only those in this state"`
	Queue   string `query:"queue" enum:"sms,pdf,notification" doc:"Only those of this queue"`
	Event   string `query:"event" maxLength:"128" doc:"Only those because of this event, by its id"`
	Planner string `query:"planner" maxLength:"64" doc:"Only those of this rule"`
	After   string `query:"after" maxLength:"128" doc:"The next of the page before"`
	Limit   int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Deliveries on a page"`
}

// Jobs is a page of deliveries as work.
type Jobs struct {
	Jobs []*ledger.Entry `json:"jobs"`
	Next string          `json:"next,omitzero" doc:"Give it as after to get older ones; absent on the last page"`
}

func (a *API) listJobs(ctx context.Context, v visit, in *jobsInput) (*response[Jobs], error) {
	if in.After != "" {
		if _, err := a.job(ctx, v, in.After); err != nil {
			return nil, wrongParameter("after", "is not what a page called next")
		}
	}
	entries, err := a.deps.Consumers.Ledger.List(ctx, ledger.Filter{
		School: v.school, State: consumers.State(in.State), Queue: in.Queue, EventID: in.Event, Planner: in.Planner, After: in.After, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	page := Jobs{Jobs: entries}
	if len(entries) > in.Limit {
		page.Jobs, page.Next = entries[:in.Limit], entries[in.Limit-1].ID
	}
	if page.Jobs == nil {
		page.Jobs = []*ledger.Entry{}
	}
	return &response[Jobs]{page}, nil
}

type jobInput struct {
	ID string `path:"id" maxLength:"128" doc:"The delivery"`
}

// job finds a delivery of the school; one of another school does not exist.
func (a *API) job(ctx context.Context, v visit, id string) (*response[*ledger.Entry], error) {
	e, err := a.deps.Consumers.Ledger.Show(ctx, id)
	if err != nil {
		return nil, err
	}
	if e.School != v.school {
		return nil, query.ErrNotFound
	}
	return &response[*ledger.Entry]{e}, nil
}

// Queues is how it stands about all of them.
type Queues struct {
	Queues []Queue `json:"queues"`
}

// Queue is how it stands about one queue, of all schools.
type Queue struct {
	Queue  string  `json:"queue"`
	Paused bool    `json:"paused"`
	Jobs   []Depth `json:"jobs" doc:"What is not done, by priority and state"`
}

// Depth counts jobs that are not done.
type Depth struct {
	Priority int    `json:"priority" doc:"1 is the most urgent"`
	State    string `json:"state" doc:"available: it waits for a worker; running; scheduled and retryable: it waits for its time; pending"`
	Jobs     int64  `json:"jobs"`
}

type queueInput struct {
	Queue string `path:"queue" enum:"sms,pdf,notification,reminders"`
}

func (a *API) queueRoutes() {
	handlePlatform(a, huma.Operation{
		OperationID: "list-queues", Method: http.MethodGet, Path: "/v1/queues", Tags: []string{"Jobs"},
		Summary: "Show the queues of all schools", Description: "For operators of the platform: how much waits, and which queues are paused.",
	}, func(ctx context.Context, _ visit, _ *empty) (*response[Queues], error) {
		queues, err := a.queues(ctx, ledger.Queues()...)
		return &response[Queues]{Queues{queues}}, err
	})
	for _, turn := range []struct {
		verb, summary, description string
		do                         func(ctx context.Context, queue string) error
	}{
		{"pause", "Stop a queue", "In all processes and for all schools; what is being done is finished.", a.deps.Consumers.Ledger.Pause},
		{"resume", "Go on with a queue", "With what has waited, the most urgent first.", a.deps.Consumers.Ledger.Resume},
	} {
		handlePlatform(a, huma.Operation{
			OperationID: turn.verb + "-queue", Method: http.MethodPost, Path: "/v1/queues/{queue}/" + turn.verb, Tags: []string{"Jobs"},
			Summary: turn.summary, Description: turn.description, Errors: []int{409, 422},
		}, func(ctx context.Context, _ visit, in *queueInput) (*response[Queue], error) {
			if err := turn.do(ctx, in.Queue); err != nil {
				return nil, err
			}
			queues, err := a.queues(ctx, in.Queue)
			if err != nil {
				return nil, err
			}
			return &response[Queue]{queues[0]}, nil
		})
	}
}

// queues looks at some queues.
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
