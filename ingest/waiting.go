package ingest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/eventlog"
)

// waiting are the events of an inbox partition that go to one partition of the log, which is refused
// until an operator decides. All others go on. When the refusal ends, these are read again, in their
// order, until they have caught up.
type waiting struct {
	next    int64 // in the inbox: what is before it is in the log
	refused bool  // when last tried under this claim; the next one tries again
}

// loadWaiting takes over what waits, so that a worker of an earlier claim changes nothing any more.
func (w *worker) loadWaiting(ctx context.Context) error {
	rows, _ := w.cfg.Letters.Pool.Query(ctx, `UPDATE schoolbell.inbox_waiting SET epoch = $3
		WHERE consumer = $1 AND partition = $2 RETURNING log_partition, next_offset`,
		w.consumer(), w.assignment.Partition, w.epoch)
	w.waiting = map[int32]*waiting{}
	var partition int32
	var next int64
	if _, err := pgx.ForEachRow(rows, []any{&partition, &next}, func() error {
		w.waiting[partition] = &waiting{next: next}
		return nil
	}); err != nil {
		return fmt.Errorf("read what waits for a partition of the log: %w", err)
	}
	return nil
}

// hold makes the events for a partition of the log wait, from an offset of the inbox on. It is
// stored before the inbox's own position passes them.
func (w *worker) hold(ctx context.Context, partition int32, from int64) error {
	if _, err := w.cfg.Letters.Pool.Exec(ctx, `
		INSERT INTO schoolbell.inbox_waiting AS h (consumer, partition, log_partition, next_offset, epoch)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (consumer, partition, log_partition) DO UPDATE
			SET next_offset = least(h.next_offset, excluded.next_offset), epoch = excluded.epoch
			WHERE h.epoch <= excluded.epoch`,
		w.consumer(), w.assignment.Partition, partition, from, w.epoch); err != nil {
		return fmt.Errorf("store what waits for partition %d of the log: %w", partition, err)
	}
	w.waiting[partition] = &waiting{next: from, refused: true}
	return nil
}

// move stores how far the events for a partition of the log have come. When they have caught up with
// the inbox's own position, they wait no longer.
func (w *worker) move(ctx context.Context, partition int32, next, own int64) error {
	sql := `UPDATE schoolbell.inbox_waiting SET next_offset = $5
		WHERE consumer = $1 AND partition = $2 AND log_partition = $3 AND epoch = $4`
	args := []any{w.consumer(), w.assignment.Partition, partition, w.epoch, next}
	if next >= own {
		sql, args = `DELETE FROM schoolbell.inbox_waiting
			WHERE consumer = $1 AND partition = $2 AND log_partition = $3 AND epoch = $4`, args[:4]
	}
	tag, err := w.cfg.Letters.Pool.Exec(ctx, sql, args...)
	switch {
	case err != nil:
		return fmt.Errorf("store what waits for partition %d of the log: %w", partition, err)
	case tag.RowsAffected() == 0:
		return errFenced
	case next >= own:
		delete(w.waiting, partition)
	default:
		w.waiting[partition].next = next
	}
	return nil
}

// catchUp brings one batch of what waits for each partition of the log that is not refused any more,
// up to the inbox's own position.
func (w *worker) catchUp(ctx context.Context, own int64) error {
	for _, partition := range slices.Sorted(maps.Keys(w.waiting)) {
		behind := w.waiting[partition]
		if behind.refused {
			continue
		}
		batch, letters, err := w.fetch(ctx, behind.next, 0)
		if err != nil {
			return err
		}
		batch.Records = slices.DeleteFunc(batch.Records, func(r eventlog.Record) bool {
			return r.Position.Offset >= own
		})
		events, _ := w.check(batch.Records) // what is refused of them is a dead letter already
		refused, err := w.append(ctx, events, func(p int32) bool { return p == partition })
		switch {
		case err != nil:
			return err
		case len(refused) > 0:
			behind.refused = true
			continue
		}
		if err := w.cfg.Letters.Write(ctx, letters); err != nil {
			return err
		}
		if err := w.move(ctx, partition, min(batch.Next, own), own); err != nil {
			return err
		}
	}
	return nil
}

// catchesUp reports that something waits for a partition of the log that is not refused any more.
func (w *worker) catchesUp() bool {
	for _, behind := range w.waiting {
		if !behind.refused {
			return true
		}
	}
	return false
}

// waits says for which partitions of the log events wait; nil when there are none.
func (w *worker) waits() error {
	if len(w.waiting) == 0 {
		return nil
	}
	return fmt.Errorf("events of inbox partition %d wait, as partitions %v of the log are refused "+
		"until an operator decides; the others go on", w.assignment.Partition,
		slices.Sorted(maps.Keys(w.waiting)))
}
