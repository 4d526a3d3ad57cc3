package checkpoint

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/eventlog"
)

// Decision is what an operator has decided about the partitions of a log that are refused: the log
// is accepted as it is.
type Decision struct {
	By      string // who
	Because string // why
	// Consumers are those whose results are now made from the log as it is, or are not to be made
	// from what it has: all of them continue where the decision says.
	Consumers []string
}

// From is where consumers continue in a partition that was refused.
type From struct {
	Next int64
	Last eventlog.Mark
}

// Accept stores a decision about partitions, which are refused no longer, and moves all consumers to
// where they continue. The log has another name from now on. Partitions that the log does not have
// are forgotten.
func Accept(
	ctx context.Context, tx pgx.Tx, topic eventlog.Topic, d Decision, from map[int32]From,
) error {
	names := d.names()
	batch := &pgx.Batch{}
	for partition, f := range from {
		// Who works on it is fenced, unless an exchange of tables has done so already.
		batch.Queue(`UPDATE checkpoints SET topic_id = $3, position = $4, read_offset = $5,
				read_digest = $6, epoch = epoch + CASE WHEN exchanged THEN 0 ELSE 1 END,
				updated_at = clock_timestamp()
			WHERE set_name = ANY ($1) AND partition = $2`,
			names, partition, topic.ID, f.Next, f.Last.Offset, DigestBytes(f.Last.Digest))
		batch.Queue(`WITH refused AS (
				DELETE FROM log_refusals WHERE topic_id = $1 AND partition = $2
				RETURNING reason, expected, found, since
			)
			INSERT INTO log_decisions (topic_id, partition, reason, expected, found, since,
				position, decided_by, because)
			SELECT $1, $2, reason, expected, found, since, $3, $4, $5 FROM refused`,
			topic.ID, partition, f.Next, d.By, d.Because)
	}
	batch.Queue(`DELETE FROM checkpoints WHERE set_name = ANY ($1) AND partition >= $2`,
		names, topic.Partitions)
	batch.Queue(`DELETE FROM log_refusals WHERE topic_id = $1 AND partition >= $2`,
		topic.ID, topic.Partitions)
	return d.rename(ctx, tx, batch, topic)
}

// AcceptRestored stores a decision about all partitions that are refused and have again what was
// read of them. Everybody continues where they stood.
func AcceptRestored(ctx context.Context, tx pgx.Tx, topic eventlog.Topic, d Decision) error {
	batch := &pgx.Batch{}
	batch.Queue(`WITH refused AS (
			DELETE FROM log_refusals WHERE topic_id = $1
			RETURNING partition, reason, expected, found, since
		)
		INSERT INTO log_decisions (topic_id, partition, reason, expected, found, since,
			position, decided_by, because)
		SELECT $1, partition, reason, expected, found, since, coalesce((SELECT min(position)
			FROM checkpoints c WHERE c.set_name = ANY ($4) AND c.partition = refused.partition), 0),
			$2, $3 FROM refused`, topic.ID, d.By, d.Because, d.Consumers)
	return d.rename(ctx, tx, batch, topic)
}

// names are the consumers and where their furthest positions are stored.
func (d *Decision) names() []string {
	names := slices.Clone(d.Consumers)
	for _, c := range d.Consumers {
		names = append(names, furthestOf(c))
	}
	return names
}

// rename gives the log another name, as the last of some statements. All processes start again when
// they find it, so that nothing of the log as it was stays in their memory.
func (d *Decision) rename(
	ctx context.Context, tx pgx.Tx, batch *pgx.Batch, topic eventlog.Topic,
) error {
	batch.Queue(`UPDATE logs SET generation = generation + 1 WHERE topic_id = $1`, topic.ID)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("store the decision about the log: %w", err)
	}
	return nil
}

// Accepted is a decision that was stored, about one partition.
type Accepted struct {
	TopicID   string    `json:"topic_id"`
	Partition int32     `json:"partition"`
	Reason    string    `json:"reason"` // of the refusal
	Expected  string    `json:"expected"`
	Found     string    `json:"found"`
	Since     time.Time `json:"since"`
	Position  int64     `json:"position"` // the offset at which planning continued
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	Because   string    `json:"because"`
}

// Decisions returns the decisions about all logs, the newest first.
func Decisions(ctx context.Context, q Querier) ([]Accepted, error) {
	rows, _ := q.Query(ctx, `SELECT topic_id, partition, reason, expected, found, since, position,
		decided_at, decided_by, because FROM log_decisions ORDER BY id DESC LIMIT 1000`)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Accepted])
	if err != nil {
		return nil, fmt.Errorf("read decisions about the log: %w", err)
	}
	return all, nil
}
