package checkpoint

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/eventlog"
)

// CheckLog stores with how many partitions a topic is first used, and later fails with an
// [*eventlog.PartitionsError] when it has another number. A school's partition follows from it, so
// with another number the school's earlier events would be taken for somebody else's.
func CheckLog(ctx context.Context, q Querier, topic eventlog.Topic) error {
	if _, err := q.Exec(ctx, `INSERT INTO schoolbell.logs (topic_id, partitions) VALUES ($1, $2)
		ON CONFLICT DO NOTHING`, topic.ID, topic.Partitions); err != nil {
		return fmt.Errorf("store the number of partitions: %w", err)
	}
	var used int32
	if err := q.QueryRow(ctx, `SELECT partitions FROM schoolbell.logs WHERE topic_id = $1`,
		topic.ID).Scan(&used); err != nil {
		return fmt.Errorf("read the number of partitions: %w", err)
	}
	if used != topic.Partitions {
		return &eventlog.PartitionsError{Topic: topic, Used: used}
	}
	return nil
}

// FoldedLog returns the log that a consumer's positions are in, and whether there is exactly one.
// Its name is not stored.
func FoldedLog(ctx context.Context, q Querier, consumer string) (eventlog.Topic, bool, error) {
	rows, _ := q.Query(ctx, `SELECT DISTINCT l.topic_id, l.partitions FROM schoolbell.checkpoints c
		JOIN schoolbell.logs l USING (topic_id) WHERE c.set_name = $1`, consumer)
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t eventlog.Topic, err error) {
		return t, row.Scan(&t.ID, &t.Partitions)
	})
	if err != nil {
		return eventlog.Topic{}, false, fmt.Errorf("read which log the tables are of: %w", err)
	}
	if len(all) != 1 {
		return eventlog.Topic{}, false, nil
	}
	return all[0], true, nil
}
