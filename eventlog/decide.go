package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
)

// ConflictError is why a duplicate is more than a repetition: it has another content than the event
// whose id it has. Two events share an id by mistake, and the later one takes no effect.
type ConflictError struct{ Earlier domain.Position }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("has the id of the event at %s and another content: two events share an id "+
		"by mistake, and only the earlier one counts. Send this one again with an id of its own",
		e.Earlier)
}

const (
	// settleBytes is read of the log at once when it must be known whether a record is an event. All
	// that comes with it is settled too, so that a producer who contradicts many events cannot have
	// each of them read on its own.
	settleBytes = 128 << 10
	// maxConflicts is how many conflicts a tail remembers. Cursors behind the oldest of them decide
	// for themselves.
	maxConflicts = 50_000
)

// decision is what was found about a record.
type decision struct {
	duplicate bool
	earlier   int64 // the offset of the event that it contradicts, else -1
}

var noDuplicate = decision{earlier: -1}

// decide finds out which records are duplicates. After an error it can be repeated: the decisions
// stay that were made. The turn is held.
func (t *tail) decide(ctx context.Context, records []Record) error {
	for i := len(t.decided); i < len(records); i++ {
		d := noDuplicate
		if school, source, id, ok := records[i].Identity(); ok {
			var err error
			if d, err = t.judge(ctx, &records[i], school, source, id); err != nil {
				return err
			}
		}
		t.decided = append(t.decided, d)
	}
	return nil
}

// judge decides about a record that has an id.
func (t *tail) judge(
	ctx context.Context, rec *Record, school, source, id string,
) (decision, error) {
	offset, content := rec.Position.Offset, rec.Content()
	verdict, earlier, known := t.window.Seen(offset, school, source, id, content)
	switch {
	case verdict == First:
		return noDuplicate, nil
	case verdict == Repetition && known:
		return decision{duplicate: true, earlier: -1}, nil
	case !t.isEvent(rec):
		return noDuplicate, nil // it is of no use anyway
	case verdict == Contradicts && !known:
		if err := t.settle(ctx, earlier); err != nil {
			return noDuplicate, err
		}
		if verdict, earlier, _ = t.window.Seen(offset, school, source, id, content); verdict == First {
			return noDuplicate, nil
		}
	}
	t.window.Put(offset, school, source, id, content)
	if verdict == Repetition { // of an event, as this one is
		earlier = -1
	}
	return decision{duplicate: true, earlier: earlier}, nil
}

// settle reads the log at an earlier offset, and has the window forget records that are no events.
func (t *tail) settle(ctx context.Context, offset int64) error {
	batch, err := t.reader.cfg.Source.Fetch(ctx, t.partition, offset, settleBytes, 0)
	if errors.Is(err, ErrOffsetOutOfRange) { // retention has removed it since it was read
		t.window.Settle(offset, true)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what offset %d contradicts: %w", t.window.Next(), err)
	}
	t.window.Settle(offset, true) // should the record be gone
	for i := range batch.Records {
		rec := &batch.Records[i]
		t.window.Settle(rec.Position.Offset, t.isEvent(rec))
	}
	return nil
}

// isEvent says whether somebody can use a record, now or later.
func (t *tail) isEvent(rec *Record) bool {
	if t.reader.cfg.Decode == nil {
		return true
	}
	_, err := Decode(t.reader.cfg.Decode, rec, t.reader.partitions.Load())
	return !IsUnusable(err)
}

// conflicts are the newest of a tail, in order.
type conflicts struct {
	all  []conflict
	from int64 // none from this offset on was dropped
}

type conflict struct{ offset, earlier int64 }

func (c *conflicts) add(offset, earlier int64) {
	if len(c.all) == maxConflicts {
		c.from = c.all[maxConflicts/2].offset
		c.all = slices.Clone(c.all[maxConflicts/2:])
	}
	c.all = append(c.all, conflict{offset, earlier})
}

func (c *conflicts) find(at domain.Position) *ConflictError {
	i, found := slices.BinarySearchFunc(c.all, at.Offset, func(c conflict, offset int64) int {
		return int(c.offset - offset)
	})
	if !found {
		return nil
	}
	return &ConflictError{domain.Position{Partition: at.Partition, Offset: c.all[i].earlier}}
}
