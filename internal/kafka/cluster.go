package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/schoolbell/schoolbell/eventlog"
)

// cluster tracks which broker leads which partition, and pools connections to them.
type cluster struct {
	dialer *dialer
	seeds  []string
	topic  string

	fetching chan struct{} // held while metadata is fetched

	mu     sync.Mutex // not held during requests
	meta   *metadata  // nil when it must be fetched again
	seed   int        // the seed that responded last
	idle   map[string][]*conn
	closed bool
}

// maxIdle is how many unused connections are pooled for each broker: one for each partition that is
// likely to be written or read at the same time.
const maxIdle = 32

func newCluster(d *dialer, seeds []string, topic string) *cluster {
	return &cluster{
		dialer: d, seeds: seeds, topic: topic, fetching: make(chan struct{}, 1),
		idle: map[string][]*conn{},
	}
}

var errClosed = errors.New("the log was closed")

// close closes the unused connections; the others are closed when they are released.
func (c *cluster) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conns := range c.idle {
		for _, conn := range conns {
			conn.net.Close()
		}
	}
	clear(c.idle)
}

// with runs one exchange on a connection to the address. A pooled connection may have died in the
// meantime, which only using it reveals: then the exchange is repeated on a new one.
func (c *cluster) with(ctx context.Context, address string, exchange func(*conn) error) error {
	for {
		conn, err := c.acquire(ctx, address)
		if err != nil {
			return err
		}
		err = conn.exchange(ctx, func() error { return exchange(conn) })
		if !conn.broken {
			conn.used = true
			c.release(conn)
			return err
		}
		conn.net.Close()
		if !conn.used || ctx.Err() != nil {
			return err
		}
	}
}

// acquire returns the connection that was used last, as the others are more likely to have died.
func (c *cluster) acquire(ctx context.Context, address string) (*conn, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, errClosed
	}
	if conns := c.idle[address]; len(conns) > 0 {
		conn := conns[len(conns)-1]
		c.idle[address] = conns[:len(conns)-1]
		c.mu.Unlock()
		return conn, nil
	}
	c.mu.Unlock()
	return c.dialer.connect(ctx, address)
}

func (c *cluster) release(conn *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conns := c.idle[conn.address]; !c.closed && len(conns) < maxIdle {
		c.idle[conn.address] = append(conns, conn)
		return
	}
	conn.net.Close()
}

// metadata returns the cached metadata, and fetches it when there is none.
func (c *cluster) metadata(ctx context.Context) (*metadata, error) {
	select {
	case c.fetching <- struct{}{}:
		defer func() { <-c.fetching }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	cached := c.meta
	c.mu.Unlock()
	if cached != nil {
		return cached, nil
	}
	return c.fetchMetadata(ctx)
}

// fetchMetadata gets metadata from the first seed that responds, beginning with the one that did
// last time.
func (c *cluster) fetchMetadata(ctx context.Context) (*metadata, error) {
	var faults []error
	c.mu.Lock()
	first := c.seed
	c.mu.Unlock()
	for i := range c.seeds {
		i = (first + i) % len(c.seeds)
		m, err := c.metadataFrom(ctx, c.seeds[i])
		if err == nil {
			c.mu.Lock()
			c.meta, c.seed = m, i
			c.mu.Unlock()
			return m, nil
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

func (c *cluster) metadataFrom(ctx context.Context, address string) (m *metadata, err error) {
	// a silent seed must not keep us from the next
	ctx, cancel := context.WithTimeout(ctx, c.dialer.timeout)
	defer cancel()
	err = c.with(ctx, address, func(conn *conn) error {
		m, err = conn.metadata(c.topic)
		return err
	})
	return m, err
}

// invalidate makes the next request fetch metadata, unless that has already happened.
func (c *cluster) invalidate(m *metadata) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.meta == m {
		c.meta = nil
	}
}

// dropIdle drops the unused connections to a broker that has fallen silent: a host that vanished
// would stall each of them until its timeout.
func (c *cluster) dropIdle(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.idle[address] {
		conn.net.Close()
	}
	delete(c.idle, address)
}

// do runs an exchange with the leader of a partition, as often as it takes: leaders move and
// brokers restart. It gives up when ctx ends, with ErrUnavailable wrapped around the last error, or
// on an error that a retry cannot cure.
func (c *cluster) do(
	ctx context.Context,
	partition int32,
	exchange func(*conn, *metadata) error,
) error {
	var last error
	for wait := (pauses{}); ; {
		var address string
		m, err := c.metadata(ctx)
		if err == nil {
			if address, err = m.leader(partition); err == nil {
				err = c.with(ctx, address, func(conn *conn) error { return exchange(conn, m) })
			}
		}
		if err == nil || !temporary(err) {
			return err
		}
		switch {
		case ctx.Err() == nil:
			last = err
			c.invalidate(m) // the leader may have moved
		// the request timed out, so the broker is silent
		case !errors.Is(context.Cause(ctx), context.Canceled):
			c.invalidate(m)
			c.dropIdle(address)
		}
		if !wait.sleep(ctx) {
			return unavailable(ctx, last)
		}
	}
}

// unavailable is the error of a request that has timed out.
func unavailable(ctx context.Context, last error) error {
	if last == nil {
		return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w (%w)", eventlog.ErrUnavailable, last, context.Cause(ctx))
}

// temporary reports whether the same request may succeed later.
func temporary(err error) bool {
	var (
		code        kafkago.Error
		refused     *refusedError
		unsupported *unsupportedError
		certificate *tls.CertificateVerificationError
		undecodable *eventlog.UndecodableError
	)
	switch {
	case errors.As(err, &refused):
		return true
	case errors.As(err, &code):
		return code.Temporary() || code == unknownTopicID || code == inconsistentTopicID
	case errors.As(err, &unsupported), errors.As(err, &certificate), errors.As(err, &undecodable),
		errors.Is(err, errClosed), errors.Is(err, errMalformed), errors.Is(err, errAbandoned),
		errors.Is(err, eventlog.ErrOffsetOutOfRange), errors.Is(err, errOtherTopic):
		return false
	}
	return true
}

// Codes that kafka-go does not name.
const (
	unknownTopicID      = kafkago.Error(100)
	inconsistentTopicID = kafkago.Error(103)
)

// pauses are the waits between attempts: none before the second one, as a pooled connection that has
// died fails at once, then from 10 to 250 ms.
type pauses struct{ delay *backoff.ExponentialBackOff }

// sleep waits and returns true, or returns false when ctx ends.
func (p *pauses) sleep(ctx context.Context) bool {
	if p.delay == nil {
		p.delay = &backoff.ExponentialBackOff{
			InitialInterval: 10 * time.Millisecond, Multiplier: 2, MaxInterval: 250 * time.Millisecond,
		}
		return ctx.Err() == nil
	}
	t := time.NewTimer(p.delay.NextBackOff())
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func joinHostPort(host string, port int32) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
