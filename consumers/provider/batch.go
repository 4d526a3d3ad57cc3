package provider

import (
	"context"

	"github.com/schoolbell/schoolbell/consumers"
)

// SendOne sends a delivery as a batch of its own.
func SendOne(ctx context.Context, p consumers.BatchProvider, d *consumers.Delivery) (consumers.Receipt, error) {
	a := p.SendBatch(ctx, []*consumers.Delivery{d})[0]
	return a.Receipt, a.Err
}

// NotStored changes the answers of a batch that the database has not taken: what would have been done is not, and may be
// tried again. Deliveries that have an error of their own keep it.
func NotStored(results []consumers.SendResult, err error) {
	for i := range results {
		if results[i].Err == nil {
			results[i] = consumers.SendResult{Err: &consumers.SendError{Class: consumers.Temporary, Code: "database", Err: err}}
		}
	}
}
