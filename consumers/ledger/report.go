package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// rank orders states by how much they say: a report that says less than the ledger changes nothing.
func rank(s consumers.State) int {
	switch s {
	case consumers.Sent:
		return 1
	case consumers.Delivered, consumers.Failed, consumers.Rendered:
		return 2
	default:
		return 0
	}
}

// Receive implements [consumers.Reports]. Of two reports that contradict each other, "delivered" is
// believed: a network loses confirmations, and does not invent them.
func (l *Ledger) Receive(ctx context.Context, r consumers.Report) error {
	changed := false
	var cost int64 // before
	var school string
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		var d consumers.Delivery
		row := deliveryRow{Delivery: &d}
		var state consumers.State
		var fence int64
		err := tx.QueryRow(ctx, `
			SELECT `+deliveryColumns+`, l.state, l.fence, l.cost FROM schoolbell.ledger l
			WHERE ($1 <> '' AND l.id = $1 OR $1 = '' AND l.provider = $2 AND l.provider_id = $3 AND l.provider_id <> '')
				AND ($4 = '' OR l.school = $4)
			FOR NO KEY UPDATE OF l`, r.DeliveryID, r.Provider, r.ProviderID, r.School).
			Scan(append(row.targets(), &state, &fence, &cost)...)
		if errors.Is(err, pgx.ErrNoRows) {
			return consumers.ErrUnknownDelivery
		}
		if err != nil {
			return fmt.Errorf("find the delivery: %w", err)
		}
		if err := row.finish(); err != nil {
			return err
		}
		// A report cannot come before the first start; whoever sends one guesses ids.
		if fence == 0 || rank(r.State) == 0 {
			return nil // it was never sent, so there is nothing to report
		}
		later := rank(r.State) > rank(state) ||
			r.State == consumers.Delivered && state == consumers.Failed
		what := "report " + string(r.State)
		if !later {
			what += ", known"
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO schoolbell.ledger_log (delivery_id, school, fence, what, detail)
			VALUES ($1, $2, $3, $4, $5)`,
			d.ID, d.School, fence, what, storable(r.Error)); err != nil {
			return fmt.Errorf("record the report: %w", err)
		}
		if !later {
			return nil
		}
		if _, err := tx.Exec(ctx, `
			UPDATE schoolbell.ledger SET state = $2, provider = $3,
				provider_id = coalesce(nullif($4, ''), provider_id), cost = greatest(cost, $5),
				error = $6, error_class = $7, changed_at = now()
			WHERE id = $1`, d.ID, r.State, r.Provider, storable(r.ProviderID), r.Cost,
			storable(r.Error), reportClass(r.State)); err != nil {
			return fmt.Errorf("change the delivery: %w", err)
		}
		receipt := consumers.Receipt{ProviderID: r.ProviderID, Cost: r.Cost}
		event, err := newOutcome(&d, r.State, fence, r.Provider, receipt, storable(r.Error))
		if err != nil {
			return err
		}
		changed, school = true, d.School
		if err := removeProblem(ctx, tx, d.ID); err != nil {
			return err
		}
		if err := insertOutcome(ctx, tx, d.School, event); err != nil {
			return err
		}
		return l.release(ctx, tx, []string{d.ID})
	})
	if err != nil {
		return fmt.Errorf("receive report of %s about delivery %s%s: %w",
			r.Provider, r.DeliveryID, r.ProviderID, err)
	}
	if changed {
		l.metrics.reports.WithLabelValues(r.Provider, string(r.State)).Inc()
		l.metrics.paid(school, r.Provider, r.Cost-cost)
		l.relayNow()
	}
	return nil
}

func reportClass(s consumers.State) consumers.ErrorClass {
	if s == consumers.Failed {
		return consumers.Permanent
	}
	return ""
}
