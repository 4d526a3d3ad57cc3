package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// Writer writes events to the log that have been checked.
type Writer struct {
	Log   eventlog.Appender
	Limit time.Duration // of an append, retries included
	// Pacer makes the schools of a partition share its readers; nil lets everything in. Hold is how
	// long records wait for room before the append, and 0 as long as the context.
	Pacer *Pacer
	Hold  time.Duration
}

// Append writes events of one school, all or none. Of several with the same source, id and content,
// one is written. One with another content is written too: readers of the log drop it, and report
// the mistake.
func (w Writer) Append(ctx context.Context, school string, events []*domain.Envelope) error {
	type identity struct{ source, id string }
	contents := make(map[identity]eventlog.Digest, len(events))
	records := make([]eventlog.Record, 0, len(events))
	for _, e := range events {
		rec, err := cloudevents.Encode(e)
		if err != nil {
			return err
		}
		key, content := identity{e.Source, e.ID}, rec.Content()
		if written, repeated := contents[key]; repeated && written == content {
			continue
		}
		contents[key] = content
		records = append(records, rec)
	}
	_, err := w.Write(ctx, school, records)
	return err
}

// Write writes records of one school, all or none, and returns where the first is. The error is a
// [*BusyError] when the school has more than its share.
func (w Writer) Write(
	ctx context.Context, school string, records []eventlog.Record,
) (domain.Position, error) {
	if w.Pacer == nil {
		return w.append(ctx, school, records)
	}
	reserved, err := w.Pacer.enter(ctx, school, len(records), w.Hold)
	if err != nil {
		return domain.Position{}, err
	}
	first, err := w.append(ctx, school, records)
	if err != nil {
		reserved.failed()
		return first, err
	}
	reserved.appended(first.Offset)
	return first, nil
}

func (w Writer) append(
	ctx context.Context, school string, records []eventlog.Record,
) (domain.Position, error) {
	// After the limit the outcome is unknown: the events may be in the log. The producer sends them
	// again, and readers of the log drop the duplicates.
	ctx, cancel := context.WithTimeout(ctx, w.Limit)
	defer cancel()
	first, err := w.Log.Append(ctx, school, records)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
	}
	return first, err
}
