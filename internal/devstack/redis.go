//go:build !noembed

package devstack

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Redis is a server inside this process, with everything in memory.
type Redis struct {
	server   *miniredis.Miniredis
	password string
}

// StartRedis starts a server on a free port of the loopback interface. Clients need the password
// unless it is empty. Its keys expire only while [Redis.Run] drives its clock.
func StartRedis(password string) (*Redis, error) {
	server := miniredis.NewMiniRedis()
	if password != "" {
		server.RequireAuth(password)
	}
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	return &Redis{server, password}, nil
}

// URL is the address to connect to, with the password.
func (r *Redis) URL() string {
	u := url.URL{Scheme: "redis", Host: r.server.Addr()}
	if r.password != "" {
		u.User = url.UserPassword("", r.password)
	}
	return u.String()
}

// Server gives tests the means to make it fail.
func (r *Redis) Server() *miniredis.Miniredis { return r.server }

// Run moves the server's clock with ours until ctx ends. Without it no key would ever expire.
func (r *Redis) Run(ctx context.Context) error {
	const step = 100 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			r.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

// Stop closes the server and forgets its data. Stopping it again does nothing.
func (r *Redis) Stop() { r.server.Close() }
