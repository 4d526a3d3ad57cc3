package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// failure is a delivery that has failed for good, and whom to reach in its place.
type failure struct {
	*consumers.Delivery
	ways []consumers.Route
}

// goOtherwise plans the next way for each of the deliveries that have failed, in the transaction in
// which they did. The ways after it are for when that one fails too.
func (l *Ledger) goOtherwise(ctx context.Context, tx pgx.Tx, failures []failure) error {
	var next []*consumers.Delivery
	for _, f := range failures {
		if len(f.ways) > 0 {
			next = append(next, f.By(f.ways[0], f.ways[1:]))
		}
	}
	planned, err := insertRows(ctx, tx, next)
	if err != nil {
		return fmt.Errorf("plan another way: %w", err)
	}
	jobs := make([]*newJob, len(planned))
	for i := range planned {
		jobs[i] = planned[i].newJob
	}
	return l.insertJobs(ctx, tx, jobs)
}
