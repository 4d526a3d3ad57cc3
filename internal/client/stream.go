package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// maxQueuedBytes is how many bytes of events may be queued before [Stream.Send] blocks.
const maxQueuedBytes = 32 << 20

// maxInFlight is how many requests are made concurrently, each for another school.
const maxInFlight = 8

// Totals counts events that are in the log.
type Totals struct {
	Events int `json:"events"` // with duplicates
	// of the last minute; earlier ones are found only when the log is read
	Duplicates int `json:"duplicates"`
	Conflicts  int `json:"conflicts"` // duplicates whose content differs
	Requests   int `json:"requests"`
}

// Stream sends events in batches. Events of one school keep their order, one request after the
// other; different schools are sent concurrently. Nothing waits for a batch to fill: whenever a
// request can be made, the school that has waited longest sends all that it has. So batches are
// small at a low rate and full at a high one.
type Stream struct {
	c   *Client
	ctx context.Context // of the requests
	// ends with ctx, or when a request has failed; then no further one is made
	stopped context.Context

	mu     sync.Mutex
	work   *sync.Cond // something can be sent, or no more events come
	space  *sync.Cond // less is queued
	queues map[string]*schoolQueue
	ready  []*schoolQueue // with events and no request in flight, the longest waiting first
	queued int            // bytes
	done   bool           // no more events come
	totals Totals
	onSent func(Totals)
}

// schoolQueue holds the events of one school that are not sent yet.
type schoolQueue struct {
	school  string
	batches []*batch
	busy    bool // is in ready, or has a request in flight
}

type batch struct {
	body  []byte
	lines []int // of each event
}

// Stream calls produce, which sends events, and returns when all of them are in the log. When a
// request fails, it waits for those in flight and makes no further ones, so that the totals are
// exact. When produce fails, what it has sent before is still published. onSent, if not nil, is
// called after each request.
func (c *Client) Stream(
	ctx context.Context, onSent func(Totals), produce func(*Stream) error,
) (Totals, error) {
	g, stopped := errgroup.WithContext(ctx)
	s := &Stream{
		c: c, ctx: ctx, stopped: stopped, queues: make(map[string]*schoolQueue),
		onSent: onSent,
	}
	s.work, s.space = sync.NewCond(&s.mu), sync.NewCond(&s.mu)
	defer context.AfterFunc(stopped, s.wake)()
	for range maxInFlight {
		g.Go(s.publish)
	}
	produced := produce(s)
	s.mu.Lock()
	s.done = true
	s.mu.Unlock()
	s.wake()
	err := g.Wait()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case !errors.Is(produced, context.Canceled): // else produce was cancelled because of err
		err = errors.Join(err, produced)
	}
	return s.totals, err
}

func (s *Stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work.Broadcast()
	s.space.Broadcast()
}

// Send queues an event. It blocks while too much is queued.
func (s *Stream) Send(e *domain.Envelope) error {
	return s.add(e.School, 0,
		func(b []byte) ([]byte, error) { return cloudevents.AppendStructured(b, e) })
}

// SendRaw is Send for an event in structured JSON, as it was written or as a log has it. Faults of it
// name the line.
func (s *Stream) SendRaw(school string, line int, event []byte) error {
	event = withoutAuthor(event)
	return s.add(school, line, func(b []byte) ([]byte, error) { return append(b, event...), nil })
}

func (s *Stream) add(school string, line int, appendTo func([]byte) ([]byte, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.queued >= maxQueuedBytes && s.stopped.Err() == nil {
		s.space.Wait()
	}
	if err := s.stopped.Err(); err != nil {
		return err
	}
	o := s.queues[school]
	if o == nil {
		o = &schoolQueue{school: school}
		s.queues[school] = o
	}
	if len(o.batches) == 0 {
		o.batches = append(o.batches, &batch{body: []byte{'['}})
	}
	last := o.batches[len(o.batches)-1]
	was := len(last.body)
	if len(last.lines) > 0 {
		last.body = append(last.body, ',')
	}
	body, err := appendTo(last.body)
	if err != nil {
		last.body = last.body[:was]
		return fmt.Errorf("encode event: %w", err)
	}
	if added := body[len(last.body):]; len(last.lines) > 0 &&
		(len(last.lines) == MaxEvents || len(body)+1 > MaxBytes) {
		last.body = last.body[:was]
		last = &batch{body: append([]byte{'['}, added...)}
		o.batches = append(o.batches, last)
		was = 0
	} else {
		last.body = body
	}
	last.lines = append(last.lines, line)
	s.queued += len(last.body) - was
	if !o.busy {
		o.busy = true
		s.ready = append(s.ready, o)
		s.work.Signal()
	}
	return nil
}

// publish makes requests until there is nothing left to send.
func (s *Stream) publish() error {
	for {
		o, b := s.next()
		if b == nil {
			return nil
		}
		size := len(b.body)
		accepted, err := s.c.post(s.ctx, o.school, append(b.body, ']'))
		if err != nil {
			b.explain(err)
			return fmt.Errorf("publish events of school %s: %w", o.school, err)
		}
		s.sent(o, size, accepted)
	}
}

// next waits for a batch to send. It returns nil when there are no more.
func (s *Stream) next() (*schoolQueue, *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ready) == 0 && !s.done && s.stopped.Err() == nil {
		s.work.Wait()
	}
	if len(s.ready) == 0 || s.stopped.Err() != nil {
		return nil, nil
	}
	o := s.ready[0]
	s.ready = s.ready[1:]
	b := o.batches[0]
	o.batches = o.batches[1:]
	return o, b
}

// sent counts a successful request and releases the school's next one.
func (s *Stream) sent(o *schoolQueue, size int, accepted *Accepted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queued -= size
	s.totals.Events += accepted.Accepted + accepted.Duplicates
	s.totals.Duplicates += accepted.Duplicates
	s.totals.Conflicts += accepted.Conflicts
	s.totals.Requests++
	if len(o.batches) > 0 {
		s.ready = append(s.ready, o)
		s.work.Signal()
	} else {
		o.busy = false
		delete(s.queues, o.school)
	}
	s.space.Broadcast()
	if s.onSent != nil {
		s.onSent(s.totals)
	}
}

// explain adds to each fault the line that its event came from.
func (b *batch) explain(err error) {
	var p *Problem
	if !errors.As(err, &p) {
		return
	}
	for i := range p.Faults {
		if f := &p.Faults[i]; f.Parameter == "" && f.Index < len(b.lines) {
			f.Line = b.lines[f.Index]
		}
	}
}
