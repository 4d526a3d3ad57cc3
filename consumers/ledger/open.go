package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/eventlog"
)

// The ledger may be older than the log: restored from a dump, lost, or on a standby that took over
// without the last second. So in every new incarnation of the database, which is also one after each
// restart, it is compared with the log before anything is planned or sent. A partition that was
// compared is open.

// ErrNotOpen is the error of a plan while the ledger has not been compared with the log.
var ErrNotOpen = errors.New("the ledger has not been compared with the log yet")

const (
	openEvery  = time.Second
	seenEvery  = time.Minute
	openLockID = 0x5363686f6f6c4f70 // "SchoolOp"
	// closedPause is how long a job waits for its partition to be opened.
	closedPause = 500 * time.Millisecond
)

// openPartitionsSQL are the partitions that have been compared in this incarnation of the database.
const openPartitionsSQL = `SELECT partition FROM schoolbell.ledger_partitions
	WHERE opened = (SELECT schoolbell.ledger_incarnation())`

// openPartitions returns the partitions that may be used, without those of the log that are refused.
func (l *Ledger) openPartitions(ctx context.Context, tx pgx.Tx) ([]int32, error) {
	rows, _ := tx.Query(ctx, openPartitionsSQL)
	open, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return nil, fmt.Errorf("read which partitions are open: %w", err)
	}
	return slices.DeleteFunc(open, l.refused), nil
}

func (l *Ledger) refused(partition int32) bool {
	return l.cfg.Refused != nil && l.cfg.Refused(partition) != nil
}

// storeSeen stores up to where the log says nothing about deliveries that is not in the ledger. The
// partitions are open in this transaction.
func storeSeen(ctx context.Context, tx pgx.Tx, seen map[int32]int64) error {
	partitions := slices.Sorted(maps.Keys(seen)) // so that two transactions lock in one order
	batch := &pgx.Batch{}
	for _, n := range partitions {
		batch.Queue(`UPDATE schoolbell.ledger_partitions SET seen = greatest(seen, $2)
			WHERE partition = $1`, n, seen[n])
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("store how much of the log the ledger has: %w", err)
	}
	return nil
}

// keepOpen compares the ledger with the log whenever that is needed, until ctx ends.
func (l *Ledger) keepOpen(ctx context.Context) {
	var seenAt time.Time
	tick := time.NewTicker(openEvery)
	defer tick.Stop()
	for {
		err := l.Open(ctx)
		if err == nil && time.Since(seenAt) > seenEvery {
			seenAt, err = time.Now(), l.follow(ctx)
		}
		if err != nil && ctx.Err() == nil {
			l.cfg.Logger.WarnContext(ctx, "cannot compare the ledger with the log, will retry",
				"error", err)
		}
		l.openFault.Store(&err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Closed returns why nothing is sent because the ledger has not been compared with the log, nil when
// it has been.
func (l *Ledger) Closed() error {
	if err := l.openFault.Load(); err != nil && *err != nil {
		return fmt.Errorf("nothing is sent: %w", *err)
	}
	return nil
}

// follow stores that the ledger has whatever the log says by now, so that the next comparison is
// short: what is appended while a partition is open was in the ledger before.
func (l *Ledger) follow(ctx context.Context) error {
	var incarnation string
	rows, _ := l.pool.Query(ctx, `SELECT partition, opened FROM schoolbell.ledger_partitions
		WHERE opened = (SELECT schoolbell.ledger_incarnation())`)
	var n int32
	ends := map[int32]int64{}
	if _, err := pgx.ForEachRow(rows, []any{&n, &incarnation}, func() error {
		ends[n] = 0
		return nil
	}); err != nil {
		return fmt.Errorf("read which partitions are open: %w", err)
	}
	for n := range ends {
		_, end, err := l.cfg.Source.Bounds(ctx, n)
		if err != nil {
			return err
		}
		ends[n] = end
	}
	for _, n := range slices.Sorted(maps.Keys(ends)) {
		if _, err := l.pool.Exec(ctx, `UPDATE schoolbell.ledger_partitions
			SET seen = greatest(seen, $2) WHERE partition = $1 AND opened = $3
				AND $3 = (SELECT schoolbell.ledger_incarnation())`, n, ends[n], incarnation); err != nil {
			return fmt.Errorf("store how much of the log the ledger has: %w", err)
		}
	}
	return nil
}

// partitionState is what is stored about a partition of the log.
type partitionState struct {
	partition     int32
	topicID       string
	opened        string
	seen, planned int64
}

// Open compares those partitions with the log that are not open. When another process is doing so it
// changes nothing.
func (l *Ledger) Open(ctx context.Context) error {
	if l.cfg.Source == nil || l.cfg.Decode == nil {
		return errors.New("ledger: a source and a decoder of the log are required")
	}
	var open int32
	total := l.partitions.Load()
	if err := l.pool.QueryRow(ctx, `SELECT count(*) FROM (`+openPartitionsSQL+`) o
		WHERE partition < $1`, total).Scan(&open); err != nil {
		return fmt.Errorf("count the open partitions: %w", err)
	}
	if total > 0 && open == total {
		return nil
	}
	topic, err := l.cfg.Source.Topic(ctx)
	if err != nil {
		return err
	}
	l.partitions.Store(topic.Partitions)
	return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		var mine bool
		err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(openLockID)).Scan(&mine)
		if err != nil || !mine {
			return err
		}
		return l.compare(ctx, tx, topic)
	})
}

// compare opens all partitions that are not open and not refused, in one transaction: what one of
// them tells about the age of the ledger is true of all.
func (l *Ledger) compare(ctx context.Context, tx pgx.Tx, topic eventlog.Topic) error {
	var incarnation string
	if err := tx.QueryRow(ctx, `SELECT schoolbell.ledger_incarnation()`).Scan(&incarnation); err != nil {
		return fmt.Errorf("read the database's incarnation: %w", err)
	}
	closed, moved, err := l.closedPartitions(ctx, tx, topic, incarnation)
	if err != nil || len(closed) == 0 {
		return err
	}
	// As long as it takes: a ledger that was lost has all of the log to read.
	if _, err := tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0;
		SET LOCAL statement_timeout = 0`); err != nil {
		return err
	}
	c := &comparison{ledger: l, tx: tx, topic: topic, through: map[int32]int64{}}
	batch := &pgx.Batch{}
	for _, p := range closed {
		if p.partition < topic.Partitions { // others are of a log that had more
			if p.seen, err = c.scan(ctx, p.partition, p.seen); err != nil {
				return fmt.Errorf("compare partition %d with the log: %w", p.partition, err)
			}
		}
		past := int64(0)
		if through := c.through[p.partition]; through > p.planned {
			past = through
		}
		batch.Queue(`INSERT INTO schoolbell.ledger_partitions AS p
				(partition, topic_id, opened, seen, planned, past) VALUES ($1, $2, $3, $4, 0, $5)
			ON CONFLICT (partition) DO UPDATE SET topic_id = $2, opened = $3, seen = $4,
				past = greatest(p.past, $5)`, p.partition, topic.ID, incarnation, p.seen, past)
	}
	if err := c.settle(ctx, closed, moved); err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("store that partitions were compared: %w", err)
	}
	c.report(ctx)
	return nil
}

// closedPartitions returns which partitions are to be compared, in order, and whether the database
// is another one than that in which they were compared last, or a standby that took over.
func (l *Ledger) closedPartitions(
	ctx context.Context, tx pgx.Tx, topic eventlog.Topic, incarnation string,
) (closed []partitionState, moved bool, err error) {
	rows, _ := tx.Query(ctx, `SELECT partition, topic_id, opened, seen, planned
		FROM schoolbell.ledger_partitions ORDER BY partition`)
	stored, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p partitionState, err error) {
		return p, row.Scan(&p.partition, &p.topicID, &p.opened, &p.seen, &p.planned)
	})
	if err != nil {
		return nil, false, fmt.Errorf("read what was compared with the log: %w", err)
	}
	byNumber := map[int32]partitionState{}
	for n := range topic.Partitions {
		byNumber[n] = partitionState{partition: n}
	}
	before, _, _ := strings.Cut(incarnation, "|")
	for _, p := range stored {
		if database, _, _ := strings.Cut(p.opened, "|"); database != before {
			moved = true
		}
		if p.topicID != topic.ID {
			p.seen, p.planned = 0, 0
		}
		byNumber[p.partition] = p
	}
	for _, n := range slices.Sorted(maps.Keys(byNumber)) {
		if p := byNumber[n]; p.opened != incarnation && !l.refused(n) {
			closed = append(closed, p)
		}
	}
	return closed, moved, nil
}
