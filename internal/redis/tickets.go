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

// TicketLifetime is how long a ticket is valid: the time between getting one and opening a
// connection.
const TicketLifetime = 30 * time.Second

// maxStreamLifetime is how long a ticket is valid for its stream if the token that it stands in for
// does not end.
const maxStreamLifetime = 24 * time.Hour

// Tickets stand in for tokens where none can be sent but in a URL. Each is valid once, for
// [TicketLifetime]; one that has opened a stream also for the reconnects of that stream.
type Tickets struct{ cache *Cache }

// NewTickets stores tickets in the same Redis as the cache.
func NewTickets(c *Cache) Tickets { return Tickets{c} }

// Issue returns a ticket for the bearer of a token.
func (t Tickets) Issue(ctx context.Context, identity realtime.Identity) (string, error) {
	ticket := rand.Text()
	return ticket, t.put(ctx, t.key("ticket", ticket), usedTicket{Identity: identity}, TicketLifetime)
}

// usedTicket is what is stored of a ticket.
type usedTicket struct {
	realtime.Identity
	Stream string // that it has opened, and may open again; empty for one that is new
}

// Redeem returns who a ticket was issued to, and invalidates it but for the reconnects of the stream
// that it opens. The error wraps [realtime.ErrInvalidToken] for a ticket that is not valid.
func (t Tickets) Redeem(
	ctx context.Context, ticket string, use realtime.TicketUse,
) (realtime.Identity, error) {
	fresh, err := t.take(ctx, t.key("ticket", ticket), t.cache.client.GetDel)
	switch {
	case err != nil:
		return realtime.Identity{}, err
	case fresh != nil && use.Stream == "":
		return fresh.Identity, nil
	case fresh != nil:
		fresh.Stream = use.Stream
		return fresh.Identity, t.put(ctx, t.key("stream", ticket), *fresh, streamLifetime(fresh.Expires))
	case use.Stream != "" && use.Again:
		used, err := t.take(ctx, t.key("stream", ticket), t.cache.client.Get)
		if err != nil {
			return realtime.Identity{}, err
		}
		if used != nil && used.Stream == use.Stream {
			return used.Identity, nil
		}
	}
	return realtime.Identity{},
		fmt.Errorf("ticket is unknown, used or expired: %w", realtime.ErrInvalidToken)
}

// streamLifetime is how long a stream may come back with its ticket. Whether its token has expired by
// then is also found out when it does.
func streamLifetime(expires time.Time) time.Duration {
	if expires.IsZero() {
		return maxStreamLifetime
	}
	return max(time.Until(expires), time.Second)
}

func (t Tickets) put(ctx context.Context, key string, ticket usedTicket, lifetime time.Duration) error {
	body, err := json.Marshal(ticket)
	if err != nil {
		return fmt.Errorf("encode ticket: %w", err)
	}
	err = t.cache.do(ctx, func(ctx context.Context) error {
		return t.cache.client.Set(ctx, key, body, lifetime).Err()
	})
	if err != nil {
		return fmt.Errorf("store ticket: %w: %w", realtime.ErrRightsUnavailable, err)
	}
	return nil
}

// take reads a ticket by a command; nil without an error if there is none.
func (t Tickets) take(
	ctx context.Context, key string, read func(context.Context, string) *redis.StringCmd,
) (*usedTicket, error) {
	var body []byte
	err := t.cache.do(ctx, func(ctx context.Context) (err error) {
		body, err = read(ctx, key).Bytes()
		return err
	})
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up ticket: %w: %w", realtime.ErrRightsUnavailable, err)
	}
	ticket := new(usedTicket)
	if err := json.Unmarshal(body, ticket); err != nil {
		return nil, fmt.Errorf("decode ticket: %w", err)
	}
	return ticket, nil
}

func (t Tickets) key(kind, ticket string) string {
	return t.cache.prefix + ":" + kind + ":" + ticket[:min(len(ticket), 64)]
}
