package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/projections/query"
)

// deliveryRoutes are what administrators decide about deliveries of their school. Reading them is a
// query like any other (package projections/deliveries), which also shows the steps of each.
func (a *API) deliveryRoutes() {
	ledger := a.deps.Consumers.Ledger
	for _, change := range []struct {
		verb, summary, description string
		result                     consumers.State
		do                         func(ctx context.Context, id, actor string) error
	}{
		{
			"retry", "Retry a delivery",
			"For a delivery that is dead, failed, cancelled or unknown. One that waits for its " +
				"next attempt is attempted at once. Retrying an unknown delivery accepts that " +
				"its recipient may get it twice.",
			consumers.Planned, ledger.Retry,
		},
		{
			"discard", "Give up a delivery",
			"For a delivery that is dead or unknown. It counts as failed.",
			consumers.Failed, ledger.Discard,
		},
		{
			"cancel", "Cancel a delivery", "For a delivery that has not started or is dead.",
			consumers.Cancelled, ledger.Cancel,
		},
	} {
		handle(a, huma.Operation{
			OperationID: change.verb + "-delivery", Method: http.MethodPost,
			Path: schoolPath + "/deliveries/{id}/" + change.verb,
			Tags: []string{tagDeliveries}, Summary: change.summary,
			Description: change.description + " The delivery's steps say who did it.",
			Errors:      []int{404, 409},
		}, needAdmin, func(ctx context.Context, req *request,
			in *deliveryInput,
		) (*response[DeliveryStatus], error) {
			// The id alone finds a delivery of any school, so the school is checked first. It never
			// changes.
			entry, err := ledger.Show(ctx, in.ID)
			if err == nil && entry.School != req.school {
				err = query.ErrNotFound
			}
			if err == nil {
				err = change.do(ctx, in.ID, req.bearer.Subject)
			}
			if err != nil {
				return nil, err
			}
			return &response[DeliveryStatus]{DeliveryStatus{in.ID, change.result}}, nil
		})
	}
}

type deliveryInput struct {
	ID string `path:"id" maxLength:"128" doc:"The delivery's id"`
}

// DeliveryStatus is a delivery right after a decision about it.
type DeliveryStatus struct {
	ID     string          `json:"id"`
	Status consumers.State `json:"status" doc:"planned after retry, failed after discard, cancelled after cancel"`
}
