package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

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
