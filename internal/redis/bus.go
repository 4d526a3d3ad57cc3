package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"

	"github.com/schoolbell/schoolbell/realtime"
)

// Bus carries messages between the realtime hubs of all nodes, by Redis's publish and subscribe. It
// is a [realtime.Bus].
type Bus struct{ cache *Cache }

var _ realtime.Bus = Bus{}

// NewBus uses the same Redis as the cache.
func NewBus(c *Cache) Bus { return Bus{c} }

// Publish implements [realtime.Bus].
func (b Bus) Publish(ctx context.Context, channel string, message []byte) error {
	return b.cache.do(ctx, func(ctx context.Context) error {
		return b.cache.client.Publish(ctx, b.cache.prefix+":"+channel, message).Err()
	})
}

// Subscribe implements [realtime.Bus]. Messages that are published while the connection is down are
// lost; hubs find the gap by their own means.
func (b Bus) Subscribe(ctx context.Context, channels []string, handle func(message []byte)) error {
	named := make([]string, len(channels))
	for i, c := range channels {
		named[i] = b.cache.prefix + ":" + c
	}
	for ctx.Err() == nil {
		if err := b.listen(ctx, named, handle); err != nil && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	return ctx.Err()
}

// listen passes messages on until the connection fails.
func (b Bus) listen(ctx context.Context, channels []string, handle func(message []byte)) error {
	sub := b.cache.client.Subscribe(ctx, channels...)
	defer sub.Close()
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // a blocked read ignores its context
	defer stop()
	const quiet = 10 * time.Second // then a ping tests the connection
	for waiting := false; ; {
		message, err := sub.ReceiveTimeout(ctx, quiet)
		switch {
		case err != nil && waiting, errors.Is(err, redis.ErrClosed):
			return fmt.Errorf("receive from other nodes: %w", err)
		case err != nil:
			if err := sub.Ping(ctx); err != nil {
				return fmt.Errorf("receive from other nodes: %w", err)
			}
			waiting = true
			continue
		}
		waiting = false
		if m, ok := message.(*redis.Message); ok {
			handle([]byte(m.Payload))
		}
	}
}

// TicketLifetime is how long a ticket is valid: the time between getting one and opening a
// connection.
const TicketLifetime = 30 * time.Second

// Tickets stand in for tokens where none can be sent but in a URL. Each is valid once, for
// [TicketLifetime].
type Tickets struct{ cache *Cache }

// NewTickets stores tickets in the same Redis as the cache.
func NewTickets(c *Cache) Tickets { return Tickets{c} }

// Issue returns a ticket for the bearer of a token.
func (t Tickets) Issue(ctx context.Context, identity realtime.Identity) (string, error) {
	body, err := json.Marshal(identity)
	if err != nil {
		return "", fmt.Errorf("encode ticket: %w", err)
	}
	ticket := rand.Text()
	return ticket, t.cache.do(ctx, func(ctx context.Context) error {
		return t.cache.client.Set(ctx, t.key(ticket), body, TicketLifetime).Err()
	})
}

// Redeem returns who a ticket was issued to, and invalidates it. The error wraps
// [realtime.ErrInvalidToken] for a ticket that is not valid.
func (t Tickets) Redeem(
	ctx context.Context, ticket string,
) (identity realtime.Identity, err error) {
	var body []byte
	err = t.cache.do(ctx, func(ctx context.Context) (err error) {
		body, err = t.cache.client.GetDel(ctx, t.key(ticket)).Bytes()
		return err
	})
	switch {
	case err != nil && !errors.Is(err, redis.Nil):
		return identity, fmt.Errorf("look up ticket: %w: %w", realtime.ErrRightsUnavailable, err)
	case body == nil:
		return identity,
			fmt.Errorf("ticket is unknown, used or expired: %w", realtime.ErrInvalidToken)
	}
	if err := json.Unmarshal(body, &identity); err != nil {
		return identity, fmt.Errorf("decode ticket: %w", err)
	}
	return identity, nil
}

func (t Tickets) key(ticket string) string {
	return t.cache.prefix + ":ticket:" + ticket[:min(len(ticket), 64)]
}
