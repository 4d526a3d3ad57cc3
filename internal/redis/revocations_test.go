package redis_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/redis"
)

// Installations that share a Redis have other users, even where the names are the same.
func TestEarlierRevocationsAreThoseOfTheLogAndOfAllLogs(t *testing.T) {
	t.Parallel()
	server, _ := openRedis(t)
	for key, user := range map[string]string{
		"sb:revoked": "tom", "sb:{a-log}:revoked": "ann", "sb:a-log:revoked": "ann",
		"sb:another:revoked": "eve",
	} {
		server.Server().HSet(key, "north\x00"+user+"\x00", `{"school":"north","user":"`+user+
			`","at":"2026-10-01T08:00:00Z","until":"2026-10-31T08:00:00Z"}`)
	}
	cache, err := redis.Open(redis.Config{URL: server.URL(), Log: "a-log"}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cache.Close()) })
	list, err := cache.EarlierRevocations(t.Context())
	require.NoError(t, err)
	var users []string
	for _, r := range list {
		require.Equal(t, "north", r.School)
		require.False(t, r.Until.IsZero())
		users = append(users, r.User)
	}
	require.ElementsMatch(t, []string{"tom", "ann"}, users)
	server.Server().Close()
	_, err = cache.EarlierRevocations(t.Context())
	require.ErrorIs(t, err, redis.ErrUnavailable)
}
