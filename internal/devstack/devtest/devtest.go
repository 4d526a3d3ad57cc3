// Package devtest gives tests the servers of package devstack. Each test binary starts at most one
// PostgreSQL, when the first test asks for it; each test gets a database of its own, cloned from a
// migrated template.
//
//	func TestMain(m *testing.M) { devtest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		pool, err := pgxpool.New(t.Context(), devtest.Postgres(t))
//		…
package devtest

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/internal/devstack"
)

// Main runs the tests, stops the servers and fails when goroutines are left over. Without it the
// servers end with the process too, but their files stay until the next run.
func Main(m *testing.M, options ...goleak.Option) {
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "devtest:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(options...); err != nil {
			fmt.Fprintln(os.Stderr, "devtest: goroutines left over:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Kafka starts a broker for one test. Its log is in memory.
func Kafka(t testing.TB) *devstack.Kafka {
	t.Helper()
	k, err := devstack.StartKafka(devstack.KafkaConfig{})
	require.NoError(t, err)
	t.Cleanup(k.Stop)
	return k
}

// Redis starts a Redis for one test. Its clock stands still: a test moves it with
// Server().FastForward.
func Redis(t testing.TB) *devstack.Redis {
	t.Helper()
	r, err := devstack.StartRedis("")
	require.NoError(t, err)
	t.Cleanup(r.Stop)
	return r
}

// RedisServer starts a real Redis for one test, which stores nothing on disk, and returns its host
// and port. The test must have called [Real].
func RedisServer(t testing.TB) (address string) {
	t.Helper()
	Program(t, "redis-server")
	r, err := devstack.StartRedisServer(t.Context(), devstack.RedisServerConfig{})
	require.NoError(t, err)
	t.Cleanup(r.Stop)
	return r.Address()
}
