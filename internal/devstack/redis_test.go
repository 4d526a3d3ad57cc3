package devstack

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestRedisExpiresByTheClock(t *testing.T) {
	t.Parallel()
	r, err := StartRedis("")
	require.NoError(t, err)
	defer r.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- r.Run(ctx) }()

	options, err := redis.ParseURL(r.URL())
	require.NoError(t, err)
	client := redis.NewClient(options)
	defer client.Close()
	require.NoError(t, client.Set(t.Context(), "key", "value", 200*time.Millisecond).Err())
	require.Eventually(t,
		func() bool { return errors.Is(client.Get(t.Context(), "key").Err(), redis.Nil) },
		10*time.Second, 10*time.Millisecond)

	cancel()
	require.NoError(t, <-ran)
}
