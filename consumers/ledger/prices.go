package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/consumers"
)

// A service sets the price of a text after it has sent it. So a delivery that was accepted without
// one is looked up later, by the provider's id. That brings the state too, which is how a process
// without a public address, which gets no reports, learns what has arrived.
const (
	maxPricePolls    = 5  // of one delivery: after 1 and 9 minutes, 1, 10 and 78 hours
	priceBatch       = 50 // deliveries that are looked up at a time
	priceConcurrency = 4
)

const insertPricesSQL = `
INSERT INTO schoolbell.ledger_prices (delivery_id, due_at)
SELECT id, now() + $2::interval FROM schoolbell.ledger
WHERE id = ANY ($1) AND cost = 0 AND provider_id <> '' AND state IN ('sent', 'delivered', 'failed')
ON CONFLICT DO NOTHING`

// takePricesSQL takes the deliveries that are due, so that no other process looks them up, and
// makes them due again, in case this one gets no response.
const takePricesSQL = `
WITH due AS (
	UPDATE schoolbell.ledger_prices SET asked = asked + 1,
		due_at = now() + $2::interval * power(8, asked + 1)
	WHERE delivery_id IN (SELECT delivery_id FROM schoolbell.ledger_prices WHERE due_at <= now()
		ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
	RETURNING delivery_id, asked)
SELECT ` + deliveryColumns + `, l.provider, l.provider_id, l.state, due.asked
FROM due JOIN schoolbell.ledger l ON l.id = due.delivery_id`

// unpriced is a delivery whose price is looked up.
type unpriced struct {
	consumers.Delivery
	provider string
	state    consumers.State
	polls    int // this one included
}

// looksUpPrices reports that the price of a channel's deliveries can be looked up.
func (l *Ledger) looksUpPrices(channel consumers.Channel) bool {
	p, ok := l.cfg.Providers[channel].(consumers.StatusProvider)
	return ok && p.Abilities().Status
}

// pollPrices looks up prices until ctx ends.
func (l *Ledger) pollPrices(ctx context.Context) {
	tick := time.NewTicker(min(l.cfg.PriceAfter, watchEvery))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := l.pollDuePrices(ctx); err != nil && ctx.Err() == nil {
			l.cfg.Logger.WarnContext(ctx, "cannot look up prices, will retry", "error", err)
		}
	}
}

func (l *Ledger) pollDuePrices(ctx context.Context) error {
	rows, _ := l.pool.Query(ctx, takePricesSQL, priceBatch, l.cfg.PriceAfter)
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*unpriced, error) {
		u := &unpriced{}
		r := deliveryRow{Delivery: &u.Delivery}
		err := row.Scan(append(r.targets(), &u.provider, &u.ProviderID, &u.state, &u.polls)...)
		if err != nil {
			return nil, err
		}
		return u, r.finish()
	})
	if err != nil {
		return fmt.Errorf("take deliveries without a price: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(priceConcurrency)
	for _, u := range due {
		g.Go(func() error { return l.pollPrice(ctx, u) })
	}
	return g.Wait()
}

// pollPrice looks up a delivery and records what is new. A provider that does not respond is tried
// again when the delivery is due again.
func (l *Ledger) pollPrice(ctx context.Context, u *unpriced) error {
	done := u.polls >= maxPricePolls
	if p := l.cfg.Providers[u.Channel]; l.looksUpPrices(u.Channel) && p.Name() == u.provider {
		polling, cancel := context.WithTimeout(ctx, l.cfg.SendTimeout)
		receipt, found, err := p.(consumers.StatusProvider).Status(polling, &u.Delivery)
		cancel()
		if err == nil && found {
			err := l.recordLookup(ctx, u, receipt)
			if err != nil {
				return err
			}
			done = done || receipt.Cost > 0
		}
	} else {
		done = true // it was accepted by another provider, which is not configured any more
	}
	if !done {
		return nil
	}
	_, err := l.pool.Exec(ctx,
		`DELETE FROM schoolbell.ledger_prices WHERE delivery_id = $1`, u.ID)
	if err != nil {
		return fmt.Errorf("end polling the price of delivery %s: %w", u.ID, err)
	}
	return nil
}

// recordLookup takes a receipt for a report, unless it says nothing new.
func (l *Ledger) recordLookup(ctx context.Context, u *unpriced, r consumers.Receipt) error {
	if r.Cost == 0 && rank(r.State) <= rank(u.state) {
		return nil
	}
	return l.Receive(ctx, consumers.Report{
		Provider: u.provider, ProviderID: u.ProviderID, DeliveryID: u.ID, School: u.School,
		State: r.State, Cost: r.Cost, Error: r.Error, At: l.cfg.Now(),
	})
}
