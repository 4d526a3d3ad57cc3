package provider

import (
	"context"

	"github.com/schoolbell/schoolbell/consumers"
)

// SendOne sends a delivery as a batch of one.
func SendOne(ctx context.Context, p consumers.BatchProvider,
	d *consumers.Delivery) (consumers.Receipt, error) {
	a := p.SendBatch(ctx, []*consumers.Delivery{d})[0]
	return a.Receipt, a.Err
}

// NotStored replaces the results of a batch that the database has not stored: nothing was done, and
// all of it may be tried again. A delivery with an error of its own keeps it.
func NotStored(results []consumers.SendResult, err error) {
	for i := range results {
		if results[i].Err == nil {
			results[i] = consumers.SendResult{Err: &consumers.SendError{Class: consumers.Temporary,
				Code: "database", Err: err}}
		}
	}
}
