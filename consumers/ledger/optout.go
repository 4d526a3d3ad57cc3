package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

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

// ReceiveWish implements [consumers.Reports]. A number may be of several guardians and at several schools:
// whoever owns it speaks for all that were texted there.
func (l *Ledger) ReceiveWish(ctx context.Context, w consumers.Wish) error {
	type owner struct{ School, Recipient string }
	var owners []owner
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `SELECT DISTINCT school, recipient FROM schoolbell.ledger
			WHERE channel = 'sms' AND coalesce(sent_to, address) = $1`, w.Number)
		var err error
		if owners, err = pgx.CollectRows(rows, pgx.RowToStructByPos[owner]); err != nil {
			return fmt.Errorf("find whose number it is: %w", err)
		}
		for _, o := range owners {
			event, err := newWish(w, o.Recipient)
			if err != nil {
				return err
			}
			if err := insertOutcome(ctx, tx, o.School, event); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("receive a wish by %s: %w", w.Provider, err)
	}
	wish := "start"
	if w.Stop {
		wish = "stop"
	}
	l.metrics.wishes.WithLabelValues(w.Provider, wish).Add(float64(len(owners)))
	l.relayNow()
	return nil
}

// newWish makes the event of a wish. Its id follows from the text that says so.
func newWish(w consumers.Wish, guardianID string) ([]byte, error) {
	id := sha256.Sum256([]byte(w.MessageID + "\x00" + guardianID))
	o := outcome{
		ID: "wish-" + hex.EncodeToString(id[:16]), Time: w.At.UTC().Truncate(time.Microsecond),
		Correlation: w.MessageID,
	}
	if w.Stop {
		o.OptOut = &guardian.OptedOut{
			GuardianID: guardianID, Channel: string(consumers.SMS), Because: guardian.ByStop,
		}
	} else {
		o.OptIn = &guardian.OptedIn{GuardianID: guardianID, Channel: string(consumers.SMS)}
	}
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode the wish of guardian %s: %w", guardianID, err)
	}
	return b, nil
}

// optsOut reports that the provider has learnt from the recipient that they do not want any more.
func (f *finish) optsOut() bool {
	e, ok := errors.AsType[*consumers.SendError](f.err)
	return ok && e.OptedOut || f.receipt.OptedOut
}
