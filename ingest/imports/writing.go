package imports

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/gzip"

	"github.com/schoolbell/schoolbell/domain"
	facts "github.com/schoolbell/schoolbell/domain/import"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/ingest"
)

// applySource is the source of import.applied, which only Schoolbell writes.
const applySource = "schoolbell/imports"

// applyBatch is how many events are appended at once; tests make it smaller.
var applyBatch int64 = 1000

// writing is the import of a plan that was begun, by one request. Each batch and how far the import
// is with it are one step under a lock on the import: requests that apply it at the same time take
// turns, and none appends after it was cancelled.
type writing struct {
	*Service
	school string
	by     By
	p      *stored
}

// run writes events from where the import stands, until a time but at least a batch.
func (w writing) run(ctx context.Context, until time.Time) error {
	p := w.p
	if p.State != Applying {
		return nil
	}
	was := p.Written
	lines, err := newEventLines(p)
	if err != nil {
		return err
	}
	for p.State == Applying && (p.Written == was || p.Written == p.Total ||
		!w.Now().After(until)) {
		switch err := w.step(ctx, lines); {
		case errors.Is(err, errElsewhere):
			err := w.Database.AsUser(ctx, w.school, w.by.User, func(tx pgx.Tx) error {
				return p.reload(ctx, tx, w.school, w.now())
			})
			if err != nil {
				return err
			}
		case errors.As(err, new(*ingest.BusyError)) && p.Written > was:
			return nil // the school has its share of the log: the caller comes back
		case err != nil:
			return err
		}
	}
	return nil
}

// step writes one batch, and after the last one that the import is applied.
func (w writing) step(ctx context.Context, lines *eventLines) error {
	if w.p.Written == w.p.Total {
		return w.finish(ctx)
	}
	batch, err := lines.next(w.p.Written, min(applyBatch, w.p.Total-w.p.Written))
	if err != nil {
		return err
	}
	return w.append(ctx, batch)
}

// errElsewhere says that an import stands elsewhere than this request knows.
var errElsewhere = errors.New("another request has written events of the import, or cancelled it")

// advance moves the import on with do, unless it stands elsewhere.
func (w writing) advance(ctx context.Context, do func() error) error {
	return w.Database.AsUser(ctx, w.school, w.by.User, func(tx pgx.Tx) error {
		state, written, err := lock(ctx, tx, w.school, w.p.ID)
		switch {
		case err != nil:
			return err
		case state != Applying || written != w.p.Written:
			return errElsewhere
		}
		if err := do(); err != nil {
			return err
		}
		return progress(ctx, tx, w.school, &w.p.Plan)
	})
}

// writer appends to the log as a step of the import. What waits for room in the log does so before
// the lock is taken.
func (w writing) writer(then func(first domain.Position)) ingest.Writer {
	writer := w.Writer
	writer.Log = stepLog{writer.Log, w, then}
	return writer
}

// stepLog appends while the import is locked.
type stepLog struct {
	eventlog.Appender
	w    writing
	then func(first domain.Position) // notes in the plan what is in the log
}

func (l stepLog) Append(
	ctx context.Context, school string, records []eventlog.Record,
) (first domain.Position, err error) {
	err = l.w.advance(ctx, func() error {
		if first, err = l.Appender.Append(ctx, school, records); err == nil {
			l.then(first)
		}
		return err
	})
	return first, err
}

// append writes some events, which are lines of structured JSON, as the one who applies the plan.
func (w writing) append(ctx context.Context, lines [][]byte) error {
	body := append(append([]byte{'['}, bytes.Join(lines, []byte{','})...), ']')
	events, err := cloudevents.Intake{School: w.school, Now: w.now(), MaxEvents: len(lines)}.
		Parse(http.Header{"Content-Type": {cloudevents.BatchType}}, body)
	if err != nil {
		return fmt.Errorf("decode the events of import %s: %w", w.p.ID, err)
	}
	for _, e := range events {
		e.Author, e.CorrelationID = w.by.Author, w.p.ID
	}
	err = w.writer(func(domain.Position) { w.p.Written += int64(len(lines)) }).
		Append(ctx, w.school, events)
	if err != nil {
		return fmt.Errorf("append events of import %s: %w", w.p.ID, err)
	}
	return nil
}

// finish says in the log that the import is applied, unless there was nothing to do.
func (w writing) finish(ctx context.Context) error {
	err := w.finishInLog(ctx)
	if err == nil {
		w.metrics.applied.Inc()
		w.metrics.applying.Observe(w.Now().Sub(w.p.StartedAt).Seconds())
	}
	return err
}

func (w writing) finishInLog(ctx context.Context) error {
	p := w.p
	if p.Total == 0 {
		return w.advance(ctx, func() error { p.State = Applied; return nil })
	}
	added, changed, ended, unchanged := p.counts()
	data := &facts.Applied{
		ImportID: p.ID, Source: p.Source, SHA256: p.SHA256, Base: p.Base.String(),
		Counts: facts.Counts{
			Added: added, Changed: changed, Ended: ended, Unchanged: unchanged,
			Refused: p.Refused.Count(),
		},
	}
	record, err := cloudevents.Encode(&domain.Envelope{
		ID: "applied-" + p.ID, Source: applySource, Type: facts.TypeApplied, School: w.school,
		Subject: data.Subject(), Time: p.StartedAt, Data: data, Author: w.by.Author,
	})
	if err != nil {
		return fmt.Errorf("encode the end of import %s: %w", p.ID, err)
	}
	_, err = w.writer(func(first domain.Position) { p.State, p.AppliedAt = Applied, &first }).
		Write(ctx, w.school, []eventlog.Record{record})
	if err != nil {
		return fmt.Errorf("append the end of import %s: %w", p.ID, err)
	}
	return nil
}

// eventLines are the events of a plan, in order.
type eventLines struct {
	id    string
	lines *bufio.Scanner
	read  int64
}

func newEventLines(p *stored) (*eventLines, error) {
	z, err := gzip.NewReader(bytes.NewReader(p.records))
	if err != nil {
		return nil, fmt.Errorf("decompress the events of import %s: %w", p.ID, err)
	}
	l := &eventLines{id: p.ID, lines: bufio.NewScanner(z)}
	l.lines.Buffer(make([]byte, maxLine), 4*maxLine) // an event is a row and its envelope
	return l, nil
}

// next returns n events from one on, which is not before what was read.
func (l *eventLines) next(from, n int64) ([][]byte, error) {
	batch := make([][]byte, 0, n)
	for ; l.read < from+n; l.read++ {
		if !l.lines.Scan() {
			return nil, fmt.Errorf("read the events of import %s: %w", l.id,
				cmp.Or(l.lines.Err(), io.ErrUnexpectedEOF))
		}
		if l.read >= from {
			batch = append(batch, bytes.Clone(l.lines.Bytes()))
		}
	}
	return batch, nil
}
