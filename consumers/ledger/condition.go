package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Condition is what an operator should know of a ledger.
type Condition struct {
	// Closed counts partitions that have not been compared with the log since the database was
	// started, restored or taken over by a standby: nothing of them is sent.
	Closed int64
	// Past counts deliveries of a ledger that was lost, whose events have not been planned again.
	Past    int64
	Unknown int64 // deliveries of which nobody knows whether they were sent
	Dead    int64 // deliveries that wait for an operator after all their attempts
	Waiting int64 // deliveries and outcomes that are not in the log yet
}

// ReadCondition reads it from a pool of the role schoolbell_jobs.
func ReadCondition(ctx context.Context, pool *pgxpool.Pool) (c Condition, err error) {
	err = pool.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM schoolbell.ledger_partitions
			WHERE opened <> (SELECT schoolbell.ledger_incarnation())),
		(SELECT count(*) FROM schoolbell.ledger_past),
		(SELECT count(*) FROM schoolbell.ledger_trouble WHERE state = 'unknown'),
		(SELECT count(*) FROM schoolbell.ledger_trouble WHERE state = 'dead'),
		(SELECT count(*) FROM schoolbell.ledger_outbox)
			+ (SELECT coalesce(sum(cardinality(ids)), 0) FROM schoolbell.ledger_plans)`).
		Scan(&c.Closed, &c.Past, &c.Unknown, &c.Dead, &c.Waiting)
	if err != nil {
		return c, fmt.Errorf("read the condition of the ledger: %w", err)
	}
	return c, nil
}
