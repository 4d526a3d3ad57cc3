package redis_test

import (
	"context"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/redis"
)

func TestRevocationsReachAllProcesses(t *testing.T) {
	t.Parallel()
	server, cache := openRedis(t)
	process := func() *redis.Revocations {
		return redis.NewRevocations(cache,
			slog.New(slog.DiscardHandler))
	}
	now := time.Now()
	tom := auth.Principal{
		School: "north", Subject: "tom", TokenID: "t-1",
		Issued: now.Add(-time.Hour),
	}
	other := tom
	other.TokenID = "t-2"
	revoke := auth.Revocation{
		School: "north", User: "tom", TokenID: "t-1", At: now,
		Until: now.Add(time.Hour),
	}

	here, there := process(), process()
	require.False(t, here.Revoked(tom))
	require.NoError(t, here.Add(t.Context(), revoke))
	require.True(t, here.Revoked(tom))
	require.False(t, here.Revoked(other), "it is about one token")
	require.False(t, there.Revoked(tom))
	require.NoError(t, there.Load(t.Context()))
	require.True(t, there.Revoked(tom))

	// An older one that comes late takes nothing back.
	earlier := revoke
	earlier.At, earlier.Until = now.Add(-2*time.Hour), now.Add(time.Minute)
	require.NoError(t, there.Add(t.Context(), earlier))
	late := process()
	require.NoError(t, late.Load(t.Context()))
	require.True(t, late.Revoked(tom))

	// A Redis that has lost everything gets it back, and one that is away forgets nothing.
	server.Server().FlushAll()
	require.NoError(t, there.Load(t.Context()))
	newcomer := process()
	require.NoError(t, newcomer.Load(t.Context()))
	require.True(t, newcomer.Revoked(tom))
	server.Server().Close()
	revoke.TokenID = ""
	require.ErrorIs(t, here.Add(t.Context(), revoke), redis.ErrUnavailable)
	require.True(t, here.Revoked(other), "but here it holds")
	require.Error(t, there.Load(t.Context()))
	require.True(t, there.Revoked(tom))
	require.NoError(t, server.Server().Restart())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- here.Run(ctx) }()
	go func() { ended <- newcomer.Run(ctx) }()
	require.Eventually(t, func() bool { return newcomer.Revoked(other) }, 10*time.Second,
		time.Millisecond, "it is offered again")
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
}

func TestExpiredRevocationsAreDeleted(t *testing.T) {
	t.Parallel()
	server, cache := openRedis(t)
	r := redis.NewRevocations(cache, slog.New(slog.DiscardHandler))
	now := time.Now()
	for user, until := range map[string]time.Time{
		"tom": now.Add(-time.Second),
		"ann": now.Add(time.Hour),
	} {
		require.NoError(t, r.Add(t.Context(),
			auth.Revocation{School: "north", User: user, At: now.Add(-time.Hour), Until: until}))
	}
	require.NoError(t, r.Load(t.Context()))
	require.False(t, r.Revoked(auth.Principal{School: "north", Subject: "tom"}))
	require.True(t, r.Revoked(auth.Principal{School: "north", Subject: "ann"}))
	fields, err := server.Server().HKeys("sb:revoked")
	require.NoError(t, err)
	require.Equal(t, []string{"north\x00ann\x00"}, fields)
}

// Installations that share a Redis have other users, even where the names are the same.
func TestRevocationsAreOfOneLog(t *testing.T) {
	t.Parallel()
	server, before := openRedis(t) // as v0.1 did, without a log in the keys
	process := func(log string) *redis.Revocations {
		c, err := redis.Open(redis.Config{URL: server.URL(), Log: log}, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		return redis.NewRevocations(c, slog.New(slog.DiscardHandler))
	}
	now := time.Now()
	revoke := func(user string) auth.Revocation {
		return auth.Revocation{School: "north", User: user, At: now, Until: now.Add(time.Hour)}
	}
	token := func(user string) auth.Principal {
		return auth.Principal{School: "north", Subject: user, Issued: now.Add(-time.Minute)}
	}
	require.NoError(t, redis.NewRevocations(before, slog.New(slog.DiscardHandler)).
		Add(t.Context(), revoke("tom")))
	mine, other := process("a-log-of-ours"), process("another-log")
	require.NoError(t, mine.Add(t.Context(), revoke("ann")))
	require.NoError(t, mine.Load(t.Context()))
	require.NoError(t, other.Load(t.Context()))
	require.True(t, mine.Revoked(token("ann")))
	require.False(t, other.Revoked(token("ann")))
	require.True(t, mine.Revoked(token("tom")), "an update makes no revoked token valid again")
}

func TestRevocationsOfASchoolAreBounded(t *testing.T) {
	t.Parallel()
	_, cache := openRedis(t)
	r := redis.NewRevocations(cache, slog.New(slog.DiscardHandler))
	now := time.Now()
	revoke := func(school, token string) error {
		return r.Add(t.Context(), auth.Revocation{
			School: school, User: "tom", TokenID: token,
			At: now, Until: now.Add(time.Hour),
		})
	}
	for i := range redis.MaxRevocations {
		require.NoError(t, revoke("hostile", strconv.Itoa(i)))
	}
	require.ErrorIs(t, revoke("hostile", "one more"), auth.ErrTooManyRevocations)
	require.NoError(t, revoke("hostile", "1"), "one that is in force can be repeated")
	require.NoError(t, revoke("north", "a"), "its neighbours are not concerned")
}
