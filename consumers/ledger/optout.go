package ledger

import (
	"context"
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

// optsOut reports that the provider has learnt from the recipient that they do not want any more.
func (f *finish) optsOut() bool {
	e, ok := errors.AsType[*consumers.SendError](f.err)
	return ok && e.OptedOut || f.receipt.OptedOut
}

// Reply records a text that came back from a number: whoever was last texted there opts out, or in
// again. The id is the provider's for the text, which may be reported twice. It returns how many
// people that is.
func (l *Ledger) Reply(ctx context.Context, number, id string, stop bool) (people int, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT r.school, r.recipient FROM (
				SELECT DISTINCT school, recipient FROM schoolbell.ledger
				WHERE channel = 'sms' AND (address = $1 OR sent_to = $1)
			) r CROSS JOIN LATERAL (
				SELECT coalesce(sent_to, address) AS number FROM schoolbell.ledger l
				WHERE l.school = r.school AND l.recipient = r.recipient AND l.channel = 'sms'
				ORDER BY planned_at DESC LIMIT 1
			) last WHERE last.number = $1`, number)
		type person struct{ School, Recipient string }
		all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[person])
		if err != nil {
			return fmt.Errorf("find who is texted at the number: %w", err)
		}
		for _, p := range all {
			o := outcome{
				ID: id + "-" + p.Recipient, Correlation: id,
				Time: time.Now().UTC().Truncate(time.Microsecond),
			}
			if stop {
				o.OptOut = &guardian.OptedOut{
					GuardianID: p.Recipient, Channel: string(consumers.SMS), Because: guardian.ByStop,
				}
			} else {
				o.OptIn = &guardian.OptedIn{GuardianID: p.Recipient, Channel: string(consumers.SMS)}
			}
			b, err := json.Marshal(o)
			if err != nil {
				return fmt.Errorf("encode the wish of a recipient: %w", err)
			}
			if err := insertOutcome(ctx, tx, p.School, b); err != nil {
				return err
			}
		}
		people = len(all)
		return nil
	})
	l.relayNow()
	return people, err
}
