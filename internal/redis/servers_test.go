package redis_test

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/redis"
	"github.com/schoolbell/schoolbell/projections/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onEachServer runs a test against miniredis, and against the real server in that tier. The
// Makefile knows its name.
func onEachServer(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		test(t, miniredis.RunT(t).Addr())
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		devtest.Real(t, "redis-server")
		test(t, devtest.RedisServer(t))
	})
}

// wire stands between the cache and its server, and can be cut or fall silent.
type wire struct {
	net.Listener
	to string

	mu     sync.Mutex
	cut    bool
	silent chan struct{} // not nil while nothing gets through; closed when it does again
	conns  map[net.Conn]struct{}
	wg     sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{Listener: l, to: to, conns: map[net.Conn]struct{}{}}
	w.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.carry(c)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.set(true, false)
		w.wg.Wait()
	})
	return w
}

func (w *wire) carry(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		_ = c.Close()
		return
	}
	server, err := net.Dial("tcp", w.to)
	if err != nil {
		_ = c.Close()
		return
	}
	w.conns[c], w.conns[server] = struct{}{}, struct{}{}
	w.wg.Go(func() { w.copy(server, c) })
	w.wg.Go(func() { w.copy(c, server) })
}

func (w *wire) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		w.mu.Lock()
		silent := w.silent
		w.mu.Unlock()
		if silent != nil {
			<-silent
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// set cuts the wire or mends it, and makes it fall silent or not.
func (w *wire) set(cut, silent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	if w.silent != nil && !silent {
		close(w.silent)
		w.silent = nil
	}
	if silent && w.silent == nil {
		w.silent = make(chan struct{})
	}
	if cut {
		for c := range w.conns {
			_ = c.Close()
		}
		clear(w.conns)
	}
}

// open makes a cache that waits as long as a busy machine needs.
func open(t *testing.T, address string) *redis.Cache { return openWith(t, address, 10*time.Second) }

// openImpatient makes one for servers that fall silent.
func openImpatient(t *testing.T, address string) *redis.Cache {
	return openWith(t, address, 250*time.Millisecond)
}

func openWith(t *testing.T, address string, timeout time.Duration) *redis.Cache {
	t.Helper()
	c, err := redis.Open(redis.Config{
		URL: "redis://" + address, Timeout: timeout,
		BreakerTimeout: 20 * time.Millisecond,
	}, prometheus.NewRegistry())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// texts keeps answers that are texts.
func texts(c *redis.Cache) *cache.ReadThrough[string] {
	return cache.NewReadThrough(c, cache.Codec[string]{
		Append: func(b []byte, s string) []byte { return append(b, s...) },
		Parse:  func(b []byte) (string, error) { return string(b), nil },
	}, 10*time.Second)
}

// numbers keeps answers that are numbers.
func numbers(c *redis.Cache) *cache.ReadThrough[int64] {
	return cache.NewReadThrough(c, cache.Codec[int64]{
		Append: func(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) },
		Parse:  func(b []byte) (int64, error) { return strconv.ParseInt(string(b), 10, 64) },
	}, 10*time.Second)
}
