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

// By is who applies a plan: User is shown with it, and Author is in its events.
type By struct {
	User   string
	Author domain.Author
}

// Apply writes the events of a plan, in order, until [Config.ApplyLimit] after its call: the plan
// that it returns says how far it came, and calling it again goes on from there. So does a call
// after a crash, which may write some events again; they have the same ids, so that readers of the
// log drop them. An import that has been applied stays so.
//
// A plan that is not begun is compared with the tables again. When the difference is another than
// before, nothing is written, and the error is a [*MovedError]; when it asks for consents that are
// not given, a [*GuardError]; when another import of its source is being applied, a [*BusyError].
func (s *Service) Apply(
	ctx context.Context, school string, by By, id string, given Consents,
) (*Plan, error) {
	until := s.Now().Add(s.ApplyLimit)
	var p *stored
	err := s.Database.AsUser(ctx, school, by.User, func(tx pgx.Tx) (err error) {
		p, err = load(ctx, tx, school, id, s.now(), true)
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.State == Planned {
		if err := s.start(ctx, school, by.User, p, given); err != nil {
			return nil, err
		}
	}
	if p.State == Applied {
		return &p.Plan, nil
	}
	return &p.Plan, s.write(ctx, school, by, p, until)
}

// start begins to apply a plan, if it still holds and may.
func (s *Service) start(
	ctx context.Context, school, user string, p *stored, given Consents,
) error {
	// As it was made: only the tables may make a difference.
	now, err := s.make(ctx, school, p.packed, making{
		adopt: p.Adopt, now: p.CreatedAt, today: p.On, user: user,
	})
	if err != nil {
		return err
	}
	moved := now.digest != p.digest
	if moved {
		if now, err = s.makeNow(ctx, school, user, p.packed, p.Adopt); err != nil {
			return err
		}
	}
	err = s.Database.AsUser(ctx, school, user, func(tx pgx.Tx) error {
		busy, err := busyWith(ctx, tx, school, p.Source)
		switch {
		case err != nil:
			return err
		case busy != "" && busy != p.ID:
			return &BusyError{busy}
		case moved:
			return insert(ctx, tx, school, now)
		}
		if left := given.refuses(p.Asks); len(left) > 0 {
			return &GuardError{left}
		}
		// Stored before the first event is written: whoever goes on after a crash must write the
		// same.
		p.AppliedBy, p.StartedAt = user, s.now()
		begun, err := start(ctx, tx, school, &p.Plan)
		if err != nil || begun {
			return err
		}
		other, err := load(ctx, tx, school, p.ID, s.now(), true) // somebody else was faster
		if err == nil {
			*p = *other
		}
		return err
	})
	if err == nil && moved {
		s.metrics.planned(&now.Plan)
		return &MovedError{&now.Plan}
	}
	return err
}

// write writes events from where an earlier call has come to, until a time but at least a batch.
func (s *Service) write(
	ctx context.Context, school string, by By, p *stored, until time.Time,
) error {
	was := p.Written
	lines, err := newEventLines(p)
	if err != nil {
		return err
	}
	for p.Written < p.Total && (p.Written == was || !s.Now().After(until)) {
		batch, err := lines.next(min(applyBatch, p.Total-p.Written))
		if err != nil {
			return err
		}
		switch err := s.append(ctx, school, by.Author, p, batch); {
		case errors.As(err, new(*ingest.BusyError)) && p.Written > was:
			return nil // the school has its share of the log: the caller comes back
		case err != nil:
			return err
		}
		p.Written += int64(len(batch))
		if p.Written == p.Total {
			break
		}
		if err := s.save(ctx, school, by.User, p); err != nil {
			return err
		}
	}
	if p.Written < p.Total {
		return nil
	}
	if err := s.finish(ctx, school, by.Author, p); err != nil {
		return err
	}
	if err := s.save(ctx, school, by.User, p); err != nil {
		return err
	}
	s.metrics.applied.Inc()
	s.metrics.applying.Observe(s.Now().Sub(p.StartedAt).Seconds())
	return nil
}

// eventLines are the events of a plan from where it has come to.
type eventLines struct {
	id    string
	lines *bufio.Scanner
}

func newEventLines(p *stored) (*eventLines, error) {
	z, err := gzip.NewReader(bytes.NewReader(p.records))
	if err != nil {
		return nil, fmt.Errorf("decompress the events of import %s: %w", p.ID, err)
	}
	l := &eventLines{p.ID, bufio.NewScanner(z)}
	l.lines.Buffer(make([]byte, maxLine), 4*maxLine) // an event is a row and its envelope
	_, err = l.next(p.Written)
	return l, err
}

// next returns the next n events.
func (l *eventLines) next(n int64) ([][]byte, error) {
	all := make([][]byte, 0, min(n, applyBatch))
	for range n {
		if !l.lines.Scan() {
			return nil, fmt.Errorf("read the events of import %s: %w", l.id,
				cmp.Or(l.lines.Err(), io.ErrUnexpectedEOF))
		}
		all = append(all, bytes.Clone(l.lines.Bytes()))
	}
	return all, nil
}

func (s *Service) save(ctx context.Context, school, user string, p *stored) error {
	return s.Database.AsUser(ctx, school, user, func(tx pgx.Tx) error {
		return progress(ctx, tx, school, &p.Plan)
	})
}

// append writes some events, which are lines of structured JSON, as the one who applies the plan.
func (s *Service) append(
	ctx context.Context, school string, author domain.Author, p *stored, lines [][]byte,
) error {
	body := append(append([]byte{'['}, bytes.Join(lines, []byte{','})...), ']')
	events, err := cloudevents.Intake{School: school, Now: s.now(), MaxEvents: len(lines)}.
		Parse(http.Header{"Content-Type": {cloudevents.BatchType}}, body)
	if err != nil {
		return fmt.Errorf("decode the events of import %s: %w", p.ID, err)
	}
	for _, e := range events {
		e.Author, e.CorrelationID = author, p.ID
	}
	if err := s.Writer.Append(ctx, school, events); err != nil {
		return fmt.Errorf("append events of import %s: %w", p.ID, err)
	}
	return nil
}

// finish says in the log that the import is applied, unless there was nothing to do.
func (s *Service) finish(
	ctx context.Context, school string, author domain.Author, p *stored,
) error {
	p.State = Applied
	if p.Total == 0 {
		return nil
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
		ID: "applied-" + p.ID, Source: applySource, Type: facts.TypeApplied, School: school,
		Subject: data.Subject(), Time: p.StartedAt, Data: data, Author: author,
	})
	if err != nil {
		return fmt.Errorf("encode the end of import %s: %w", p.ID, err)
	}
	at, err := s.Writer.Write(ctx, school, []eventlog.Record{record})
	if err != nil {
		return fmt.Errorf("append the end of import %s: %w", p.ID, err)
	}
	p.AppliedAt = &at
	return nil
}
