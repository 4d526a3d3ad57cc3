package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain/guardian"
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

// reported is the delivery that a report is about, as the ledger has it.
type reported struct {
	consumers.Delivery
	state consumers.State
	fence int64
	cost  int64
}

// Receive implements [consumers.Reports]. Of two reports that contradict each other, "delivered" is
// believed: a network loses confirmations, and does not invent them.
func (l *Ledger) Receive(ctx context.Context, r consumers.Report) error {
	var current *reported
	changed := false
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) (err error) {
		if current, err = findReported(ctx, tx, r); err != nil {
			return err
		}
		// A report cannot come before the first start; whoever sends one guesses ids.
		if current.fence == 0 || rank(r.State) == 0 {
			return nil // it was never sent, so there is nothing to report
		}
		later := rank(r.State) > rank(current.state) ||
			r.State == consumers.Delivered && current.state == consumers.Failed
		changed = later || r.Cost > current.cost
		what := "report " + string(r.State)
		switch {
		case !changed:
			what += ", known"
		case !later:
			what = "price"
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO schoolbell.ledger_log (delivery_id, school, fence, what, detail)
			VALUES ($1, $2, $3, $4, $5)`,
			current.ID, current.School, current.fence, what, storable(r.Error)); err != nil {
			return fmt.Errorf("record the report: %w", err)
		}
		if later {
			return l.applyReport(ctx, tx, current, r)
		}
		return storePrice(ctx, tx, current, r.Cost)
	})
	if err != nil {
		return fmt.Errorf("receive report of %s about delivery %s%s: %w",
			r.Provider, r.DeliveryID, r.ProviderID, err)
	}
	if changed {
		l.metrics.reports.WithLabelValues(r.Provider, string(r.State)).Inc()
		l.metrics.paid(current.School, r.Provider, r.Cost-current.cost)
		l.relayNow()
		wakeUp(l.plans) // another way, if it has failed
	}
	return nil
}

// findReported finds and locks the delivery of a report, by its id or by the provider's.
func findReported(ctx context.Context, tx pgx.Tx, r consumers.Report) (*reported, error) {
	current := &reported{}
	row := deliveryRow{Delivery: &current.Delivery}
	err := tx.QueryRow(ctx, `
		SELECT `+deliveryColumns+`, l.state, l.fence, l.cost FROM schoolbell.ledger l
		WHERE ($1 <> '' AND l.id = $1
				OR $1 = '' AND l.provider = $2 AND l.provider_id = $3 AND l.provider_id <> '')
			AND ($4 = '' OR l.school = $4)
		FOR NO KEY UPDATE OF l`, r.DeliveryID, r.Provider, r.ProviderID, r.School).
		Scan(append(row.targets(), &current.state, &current.fence, &current.cost)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, consumers.ErrUnknownDelivery
	}
	if err != nil {
		return nil, fmt.Errorf("find the delivery: %w", err)
	}
	return current, row.finish()
}

// applyReport changes a delivery to the state of a report, with the event about it.
func (l *Ledger) applyReport(
	ctx context.Context, tx pgx.Tx, current *reported, r consumers.Report,
) error {
	d := &current.Delivery
	if _, err := tx.Exec(ctx, `
		UPDATE schoolbell.ledger SET state = $2, provider = $3,
			provider_id = coalesce(nullif($4, ''), provider_id), cost = greatest(cost, $5),
			error = $6, error_class = $7, changed_at = now()
		WHERE id = $1`, d.ID, r.State, r.Provider, storable(r.ProviderID), r.Cost,
		storable(r.Error), reportClass(r.State)); err != nil {
		return fmt.Errorf("change the delivery: %w", err)
	}
	receipt := consumers.Receipt{ProviderID: r.ProviderID, Cost: r.Cost}
	event, err := newOutcome(d, r.State, current.fence, r.Provider, receipt, storable(r.Error))
	if err != nil {
		return err
	}
	if err := removeProblem(ctx, tx, d.ID); err != nil {
		return err
	}
	if err := insertOutcome(ctx, tx, d.School, event); err != nil {
		return err
	}
	if l.looksUpPrices(d.Channel) {
		_, err := tx.Exec(ctx, insertPricesSQL, []string{d.ID}, l.cfg.PriceAfter)
		if err != nil {
			return fmt.Errorf("plan to look up the price: %w", err)
		}
	}
	if r.OptedOut {
		event, err := newOptOut(d, guardian.ByProvider)
		if err == nil {
			err = insertOutcome(ctx, tx, d.School, event)
		}
		if err != nil {
			return err
		}
	}
	if r.State == consumers.Failed {
		if _, err := goOtherwise(ctx, tx, []failure{{d, d.Otherwise}}); err != nil {
			return err
		}
	}
	return l.release(ctx, tx, []string{d.ID})
}

// storePrice stores a price that is set later than the state. It is no event: the state has not
// changed, and those who add up costs read the ledger.
func storePrice(ctx context.Context, tx pgx.Tx, current *reported, cost int64) error {
	if cost <= current.cost {
		return nil
	}
	_, err := tx.Exec(ctx,
		`UPDATE schoolbell.ledger SET cost = $2, changed_at = now() WHERE id = $1`, current.ID, cost)
	if err != nil {
		return fmt.Errorf("store the price: %w", err)
	}
	return nil
}

func reportClass(s consumers.State) consumers.ErrorClass {
	if s == consumers.Failed {
		return consumers.Permanent
	}
	return ""
}
