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
// which they did, and says whether there are any. As all that is planned they have no job before the
// log tells of them: whoever calls it wakes that up when the transaction has ended.
func goOtherwise(ctx context.Context, tx pgx.Tx, failures []failure) (bool, error) {
	planned, err := insertOtherWays(ctx, tx, failures)
	if err != nil || len(planned) == 0 {
		return false, err
	}
	return true, storePlans(ctx, tx, planned, nil)
}

// insertOtherWays inserts the next way for each of the deliveries. The ways after it are for when
// that one fails too.
func insertOtherWays(
	ctx context.Context, tx pgx.Tx, failures []failure,
) ([]*consumers.Delivery, error) {
	var next []*consumers.Delivery
	for _, f := range failures {
		if len(f.ways) > 0 {
			next = append(next, f.By(f.ways[0], f.ways[1:]))
		}
	}
	planned, err := insertRows(ctx, tx, next)
	if err != nil {
		return nil, fmt.Errorf("plan another way: %w", err)
	}
	return planned, nil
}

// takeOtherWays plans the next way for those deliveries that have failed by what the log tells of
// them, and after that one the next if it has failed too. It returns what is new in the ledger.
func takeOtherWays(
	ctx context.Context, tx pgx.Tx, taken []string,
) (all []*consumers.Delivery, err error) {
	for len(taken) > 0 {
		failures, err := readFailures(ctx, tx, taken)
		if err != nil {
			return nil, err
		}
		next, err := insertOtherWays(ctx, tx, failures)
		if err != nil || len(next) == 0 {
			return all, err
		}
		all = append(all, next...)
		if taken, _, err = takeOver(ctx, tx, idsOf(next)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// readFailures returns those of the deliveries that have failed and that there is another way for.
func readFailures(ctx context.Context, tx pgx.Tx, ids []string) ([]failure, error) {
	rows, _ := tx.Query(ctx, `SELECT `+deliveryColumns+` FROM schoolbell.ledger l
		WHERE l.id = ANY ($1) AND l.state = 'failed' AND l.otherwise IS NOT NULL ORDER BY l.id`, ids)
	failures, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (failure, error) {
		r := deliveryRow{Delivery: &consumers.Delivery{}}
		if err := row.Scan(r.targets()...); err != nil {
			return failure{}, err
		}
		err := r.finish()
		return failure{r.Delivery, r.Otherwise}, err
	})
	if err != nil {
		return nil, fmt.Errorf("read what has failed: %w", err)
	}
	return failures, nil
}
