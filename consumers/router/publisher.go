package router

import (
	"context"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/schoolbell/schoolbell/eventlog"
)

// Open returns the log of a topic. It is called for every batch, so it caches.
type Open func(ctx context.Context, topic string) (eventlog.Log, error)

// SingleTopic opens the log of the one topic that there is.
func SingleTopic(log eventlog.Log, topic string) Open {
	return func(_ context.Context, wanted string) (eventlog.Log, error) {
		if wanted != topic {
			return nil, fmt.Errorf("topic %q is not the log, which is %q", wanted, topic)
		}
		return log, nil
	}
}

// Publisher appends messages to the log. It implements [message.Publisher].
type Publisher struct {
	open Open

	mu     sync.RWMutex
	closed bool
}

// NewPublisher returns a publisher.
func NewPublisher(open Open) *Publisher { return &Publisher{open: open} }

// Publish implements [message.Publisher]. Messages of one school that are published together are
// adjacent in the log. When it returns they are durable.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return fmt.Errorf("publish to %s: %w", topic, errClosed)
	}
	if len(messages) == 0 {
		return nil
	}
	ctx := messages[0].Context()
	log, err := p.open(ctx, topic)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	var schools []string // in the order of their first messages
	bySchool := map[string][]eventlog.Record{}
	for _, m := range messages {
		school, rec := toRecord(m)
		if bySchool[school] == nil {
			schools = append(schools, school)
		}
		bySchool[school] = append(bySchool[school], rec)
	}
	for _, school := range schools {
		if _, err := log.Append(ctx, school, bySchool[school]); err != nil {
			return fmt.Errorf("publish to %s: %w", topic, err)
		}
	}
	return nil
}

// Close implements [message.Publisher].
func (p *Publisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}
