package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

const refusalColumns = `partition, topic_id, reason, expected, found, since`

// Refusals returns the partitions of a log that are refused. Without a topic it returns those of all
// logs.
func Refusals(ctx context.Context, q Querier, topicID string) ([]*eventlog.Refusal, error) {
	rows, _ := q.Query(ctx, `SELECT `+refusalColumns+` FROM log_refusals
		WHERE $1 IN ('', topic_id) ORDER BY topic_id, partition`, topicID)
	all, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[eventlog.Refusal])
	if err != nil {
		return nil, fmt.Errorf("read refused partitions: %w", err)
	}
	return all, nil
}

// refused returns the refusal of a partition as an error, nil when it is not refused.
func refused(ctx context.Context, q Querier, topicID string, partition int32) error {
	rows, _ := q.Query(ctx, `SELECT `+refusalColumns+` FROM log_refusals
		WHERE topic_id = $1 AND partition = $2`, topicID, partition)
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[eventlog.Refusal])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look whether partition %d is refused: %w", partition, err)
	}
	return r
}

// LogID returns what the log is called that a consumer reads, in the positions that clients see.
func LogID(ctx context.Context, q Querier, consumer string) (domain.LogID, error) {
	var topic string
	var generation int32
	if err := q.QueryRow(ctx, `SELECT topic_id, generation FROM checkpoints
		JOIN schoolbell.logs USING (topic_id) WHERE set_name = $1 LIMIT 1`,
		consumer).Scan(&topic, &generation); err != nil {
		return "", fmt.Errorf("read which log %s has: %w", consumer, err)
	}
	return domain.LogIDOf(topic, generation), nil
}

// Refuse stores that a partition is refused, by what a consumer has read of it. The first reason
// stays. Nothing is stored when the consumer's position is no longer the one that was compared: an
// operator may have decided meanwhile.
func Refuse(
	ctx context.Context, q Querier, consumer string, r *eventlog.Refusal, next int64,
	last eventlog.Mark,
) error {
	_, err := q.Exec(ctx, `
		INSERT INTO log_refusals (topic_id, partition, reason, expected, found)
		SELECT $1, $2, $3, $4, $5 FROM checkpoints
		WHERE set_name = $6 AND partition = $2 AND position = $7 AND read_digest = $8
		ON CONFLICT DO NOTHING`,
		r.TopicID, r.Partition, r.Reason, r.Expected, r.Found, consumer, next,
		DigestBytes(last.Digest))
	if err != nil {
		return fmt.Errorf("store that partition %d is refused: %w", r.Partition, err)
	}
	return nil
}

// compare looks whether a log still has what a consumer has read of a partition. If not, it stores
// that the partition is refused, and fails with an [*eventlog.Refusal].
func compare(
	ctx context.Context, q Querier, log eventlog.Source, topic eventlog.Topic, consumer string,
	at *Checkpoint,
) error {
	err := eventlog.Compare(ctx, log, topic, at.Partition, at.Next, at.Last)
	if refusal, ok := errors.AsType[*eventlog.Refusal](err); ok {
		return errors.Join(refusal, Refuse(ctx, q, consumer, refusal, at.Next, at.Last))
	}
	return err
}

// Examine compares a log with what consumers have read of each partition. It stores which partitions
// are refused, and fails with an [*eventlog.Refusal] for each of them; another error says that
// a comparison was not possible.
func Examine(
	ctx context.Context, q Querier, log eventlog.Source, topic eventlog.Topic, consumers ...string,
) error {
	var faults []error
	for _, consumer := range consumers {
		all, err := Read(ctx, q, consumer)
		if err != nil {
			return err
		}
		for i := range all {
			at := &all[i]
			switch {
			case at.TopicID != topic.ID:
				err = refuseOther(ctx, q, topic, consumer, at)
			case at.Partition >= topic.Partitions:
				err = nil // [CheckLog] has an error for that
			default:
				err = compare(ctx, q, log, topic, consumer, at)
			}
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// refuseOther refuses a partition because the consumer's position belongs to another log.
func refuseOther(
	ctx context.Context, q Querier, topic eventlog.Topic, consumer string, at *Checkpoint,
) error {
	refusal := &eventlog.Refusal{
		Partition: at.Partition, TopicID: topic.ID, Reason: eventlog.RefusedOther,
		Expected: "the topic with id " + at.TopicID,
		Found:    "the topic with id " + topic.ID,
	}
	return errors.Join(refusal, Refuse(ctx, q, consumer, refusal, at.Next, at.Last))
}
