package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/domain"
)

// ErrNotParked is returned by [Deps.Skip] when there is no such event that may be skipped.
var ErrNotParked = errors.New("the subject is not parked, or the event at the position is not its " +
	"first parked one: `schoolbell parked list` shows what is parked")

// SkipRequest names a parked event that is to be folded by nobody.
type SkipRequest struct {
	School, Subject string
	Only            *domain.Position // if given, the event must be there
	Reason, By      string           // By is the sub of the operator's token
	Author          domain.Author
}

// Skipped says which event will be folded by nobody, and where the log says so.
type Skipped struct {
	Position domain.LogPosition `json:"position" doc:"Of the skipped event"`
	By       domain.LogPosition `json:"by" doc:"Of the event that says so; a read with it in Schoolbell-Min-Position shows the result"`
}

type skipInput struct {
	School   string `path:"school" maxLength:"128"`
	Subject  string `query:"subject" maxLength:"128" doc:"The parked subject; without it, the school, which must be parked whole"`
	Reason   string `query:"reason" required:"true" minLength:"1" maxLength:"1000" doc:"Why; it is in the log for ever"`
	Position string `query:"position" maxLength:"64" doc:"Where the event must be, for example 7:1042-k3f9a"`
}

// skipRoute adds the route that gives up a parked event.
func (a *API) skipRoute() {
	operation(a, huma.Operation{
		OperationID: "skip-parked-event", Method: http.MethodPost,
		Path:    operationsPath + "/schools/{school}/parked/skip",
		Summary: "Skip the first parked event of a subject",
		Description: "The event is folded by nobody from now on, also not by a rebuild or a " +
			"later version, and the later events of the subject are folded in order. What was " +
			"planned because of it stays. It is final: report the same fact with a new event. " +
			"409 when the subject is not parked, or the event at the position is not its first.",
		Errors: []int{409, 422},
	}, func(ctx context.Context, req *request, in *skipInput) (*response[Skipped], error) {
		// One line, as it stands in the logs of operators. Skips of the past may have others.
		var f domain.Faults
		if f.Name("", in.Reason); len(f.List) > 0 {
			return nil, wrongParameter("reason", f.List[0].Reason)
		}
		skip := SkipRequest{
			School: in.School, Subject: in.Subject, Reason: in.Reason, By: req.bearer.Subject,
			Author: a.deps.Author(ctx, in.School, req.bearer),
		}
		if in.Position != "" {
			at, err := a.deps.LogID.Parse(in.Position)
			if errors.Is(err, domain.ErrOtherLog) {
				return nil, ofOtherLog("position", err)
			}
			if err != nil {
				return nil, wrongParameter("position", "must be partition:offset, for example 7:1042-k3f9a")
			}
			skip.Only = &at
		}
		skipped, err := a.deps.Skip(ctx, skip)
		if errors.Is(err, ErrNotParked) {
			return nil, problem(http.StatusConflict, "%s", ErrNotParked)
		}
		return &response[Skipped]{skipped}, err
	})
}
