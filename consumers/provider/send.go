package provider

import (
	"context"
	"fmt"

	"github.com/schoolbell/schoolbell/consumers"
)

// SendOne sends a delivery as a batch of one.
func SendOne(ctx context.Context, p consumers.BatchProvider,
	d *consumers.Delivery,
) (consumers.Receipt, error) {
	a := p.SendBatch(ctx, []*consumers.Delivery{d})[0]
	return a.Receipt, a.Err
}

// NotStored replaces the results of a batch that the database has not stored: nothing was done, and
// all of it may be tried again. A delivery with an error of its own keeps it.
func NotStored(results []consumers.SendResult, err error) {
	for i := range results {
		if results[i].Err == nil {
			results[i] = consumers.SendResult{Err: Fail(consumers.Temporary, "database", "%w", err)}
		}
	}
}

// Fail returns the error of a delivery that was not sent, or may not have been, with a text as of
// [fmt.Errorf]. The code is for metrics, so a provider has a small set of them.
func Fail(class consumers.ErrorClass, code, format string, args ...any) *consumers.SendError {
	return &consumers.SendError{Class: class, Code: code, Err: fmt.Errorf(format, args...)}
}

// Fault returns an error with this text if a setting is bad. The faults of a configuration are
// joined, so that all of them are reported at once.
func Fault(bad bool, format string, args ...any) error {
	if !bad {
		return nil
	}
	return fmt.Errorf(format, args...)
}
