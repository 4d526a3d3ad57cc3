package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"
)

// Config is how to reach Redis. A zero value means the default in parentheses.
type Config struct {
	URL            string        // redis://user:password@host:port/0, or rediss:// for TLS
	Prefix         string        // of all keys (sb)
	Log            string        // id of the log that this is about; in all keys, after the prefix (none)
	Timeout        time.Duration // of one call (50 ms)
	DialTimeout    time.Duration // of a new connection (250 ms)
	PoolSize       int           // connections (16)
	BreakerTimeout time.Duration // how long the breaker stays open (1 s)
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	var faults []error
	if _, err := redis.ParseURL(c.URL); err != nil {
		faults = append(faults,
			errors.New("redis URL is malformed: want redis://user:password@host:port/0"))
	}
	if strings.ContainsAny(c.Prefix, "{}*?[]\\: ") {
		faults = append(faults, fmt.Errorf("redis prefix %q must not contain spaces, colons or "+
			"any of * ? [ ] { } \\ in it", c.Prefix))
	}
	if c.Timeout < 0 || c.DialTimeout < 0 || c.PoolSize < 0 || c.BreakerTimeout < 0 {
		faults = append(faults,
			errors.New("redis timeouts, pool size and pause must not be negative"))
	}
	return errors.Join(faults...)
}

// ErrUnavailable is returned when Redis did not respond in time, or was not called because it has
// been failing.
var ErrUnavailable = errors.New("redis is unavailable")

// Cache is a connection to one Redis. It is safe for concurrent use.
type Cache struct {
	client  *redis.Client
	breaker *gobreaker.CircuitBreaker[struct{}]
	timeout time.Duration
	prefix  string // of all keys, with the log's id
	shared  string // of the keys of all logs
	metrics *metrics
}

// Open returns a cache. It connects when it is first used, so a process starts without Redis. The
// registerer may be nil.
func Open(c Config, reg prometheus.Registerer) (*Cache, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	// go-redis logs to standard error, for the whole process; its errors say the same
	logging.Disable()
	o, err := redis.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("parse redis URL: %w", err)
	}
	timeout := cmp.Or(c.Timeout, 50*time.Millisecond)
	o.DialTimeout = cmp.Or(c.DialTimeout, 250*time.Millisecond)
	o.DialerRetries = 1
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = timeout, timeout, timeout
	o.ContextTimeoutEnabled = true // else a silent server blocks a call for seconds
	o.MaxRetries = -1
	o.PoolSize = cmp.Or(c.PoolSize, 16)
	o.Protocol = 2
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	m := newMetrics(reg)
	cache := &Cache{client: redis.NewClient(o), timeout: timeout, metrics: m}
	cache.shared = cmp.Or(c.Prefix, "sb")
	cache.prefix = cache.shared
	if c.Log != "" {
		cache.prefix += ":" + c.Log[:min(len(c.Log), logIDLength)]
	}
	cache.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     cmp.Or(c.BreakerTimeout, time.Second),
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= 3 },
		IsExcluded:  func(err error) bool { return err != nil && !errors.Is(err, ErrUnavailable) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			m.open.Set(map[bool]float64{true: 1}[to != gobreaker.StateClosed])
		},
	})
	return cache, nil
}

// logIDLength is how much of a log's id is in the keys: these 48 random bits do not collide among the
// installations that share a Redis.
const logIDLength = 12

// Close ends all connections.
func (c *Cache) Close() error { return c.client.Close() }

// Ping reports whether Redis responds.
func (c *Cache) Ping(ctx context.Context) error {
	return c.do(ctx, func(ctx context.Context) error { return c.client.Ping(ctx).Err() })
}

// do makes one call within the time limit, unless the breaker is open. What says nothing about the
// health of Redis, such as an error reply or a caller that gave up, does not count for the breaker.
func (c *Cache) do(ctx context.Context, call func(context.Context) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	_, err := c.breaker.Execute(func() (struct{}, error) {
		err := call(limited)
		switch {
		case err == nil, isReply(err):
			return struct{}{}, err
		case ctx.Err() != nil:
			return struct{}{}, errCallerGone
		}
		return struct{}{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	})
	switch {
	case errors.Is(err, errCallerGone):
		return ctx.Err()
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if errors.Is(err, ErrUnavailable) {
		c.metrics.failures.Inc()
	}
	return err
}

var errCallerGone = errors.New("the caller gave up")

// isReply reports that an error is a reply of a Redis that can serve.
func isReply(err error) bool {
	_, reply := errors.AsType[redis.Error](err)
	return reply && !notServing(err)
}

// notServing reports that Redis replies but cannot serve: it is loading its data, for example, or
// is a replica without a master.
func notServing(err error) bool {
	for _, prefix := range []string{
		"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
		"MISCONF", "OOM", "ERR max number",
	} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}
