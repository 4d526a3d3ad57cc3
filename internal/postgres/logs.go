package postgres

import (
	"context"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
)

// CheckLog refuses a topic that has another number of partitions than when the database was first
// used with it (see [checkpoint.CheckLog]). Whoever reads or writes the log for a database calls it
// first.
func CheckLog(ctx context.Context, url string, topic eventlog.Topic) error {
	pool, err := NewPool(ctx, Config{URL: url, Role: Projector, MaxConns: 1})
	if err != nil {
		return err
	}
	defer pool.Close()
	return checkpoint.CheckLog(ctx, pool.Conns(), topic)
}

// FoldedLog returns the log that the tables of a set are of, and whether they are of one.
func FoldedLog(ctx context.Context, url, set string) (eventlog.Topic, bool, error) {
	pool, err := NewPool(ctx, Config{URL: url, Role: Projector, MaxConns: 1})
	if err != nil {
		return eventlog.Topic{}, false, err
	}
	defer pool.Close()
	return checkpoint.FoldedLog(ctx, pool.Conns(), set)
}
