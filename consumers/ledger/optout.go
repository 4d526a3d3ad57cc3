package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain/guardian"
)

// newOptOut makes the event of a recipient who does not want any more by a channel. Its id follows
// from the delivery that said so.
func newOptOut(d *consumers.Delivery, because string) ([]byte, error) {
	b, err := json.Marshal(outcome{
		ID: d.ID + "-opted-out", Time: time.Now().UTC().Truncate(time.Microsecond),
		Causation: d.EventID, Correlation: d.CorrelationID,
		OptOut: &guardian.OptedOut{
			GuardianID: d.Recipient, Channel: string(d.Channel), Because: because,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode that the recipient of delivery %s opts out: %w", d.ID, err)
	}
	return b, nil
}

// optsOut reports that the provider has learnt from the recipient that they do not want any more.
func (f *finish) optsOut() bool {
	e, ok := errors.AsType[*consumers.SendError](f.err)
	return ok && e.OptedOut || f.receipt.OptedOut
}
