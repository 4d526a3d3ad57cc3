package socketio_test

import (
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/announcement"
	"github.com/schoolbell/schoolbell/realtime/engineio"
	"github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/socketio"
	"github.com/schoolbell/schoolbell/realtime/ws"
	"github.com/schoolbell/schoolbell/realtime/wstest"
)

// enter opens a WebSocket that is in class:a.
func enter(t *testing.T, s wstest.Server) *wstest.Client {
	t.Helper()
	c := s.Dial(t)
	exchange(t, c, []string{`40{"token":"ann:admin","rooms":["class:a"]}`}, `40{"sid":"…`)
	return c
}

// A tenth of the sockets is never read. The others hear everything, memory stays bounded, and in the end those
// who do not read are gone.
func TestP6_SocketsThatAreNeverReadDisturbNobody(t *testing.T) {
	const (
		readers = 90
		idlers  = 10
		events  = 1000 // of 10 KB: more than the kernel keeps for a socket
	)
	n := realtimetest.Start(t, nil, nil)
	server := socketio.NewRooms(socketio.Config{Access: access, Engine: engineio.Config{WriteTimeout: 3 * time.Second}}, n.Hub)
	s := serve(t, server)
	var all []*wstest.Client
	for range readers {
		all = append(all, enter(t, s))
	}
	for range idlers {
		c := enter(t, s)
		require.NoError(t, c.Conn.(*net.TCPConn).SetReadBuffer(4096))
	}
	require.Equal(t, readers+idlers, server.Len())

	var reading sync.WaitGroup
	heard, ends := make([]int, readers), make([]string, readers)
	for i, c := range all {
		reading.Go(func() {
			for heard[i] < events {
				_ = c.SetDeadline(time.Now().Add(time.Minute)) // of each frame: how long all take is the machine's affair
				f, err := c.Next()
				if err == nil && string(f.Payload) == "2" { // on a machine that is busy it may take that long
					c.Send(wstest.Masked(ws.Text, "3"))
					continue
				}
				if err != nil || f.Op != ws.Text || !strings.Contains(string(f.Payload), fmt.Sprintf(`"id":"%d"`, heard[i])) {
					ends[i] = fmt.Sprintf("%v %.80s", err, f.Payload)
					return
				}
				heard[i]++
			}
		})
	}
	before := heap()
	for i := range events {
		notice := realtimetest.Notice(fmt.Sprint(i), "a").(*announcement.Posted)
		notice.Body = strings.Repeat("x", 10_000)
		realtimetest.Publish(t, n.Log, realtimetest.School, fmt.Sprint(i), notice)
	}
	reading.Wait()
	for i := range heard {
		require.Equal(t, events, heard[i], "reader %d: %s", i, ends[i])
	}
	require.Eventually(t, func() bool { return server.Len() == readers }, wstest.Timeout, 10*time.Millisecond)
	// What stays is the log itself and the hub's ring, not the sockets.
	require.Less(t, heap()-before, int64(64<<20))
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// No frame after the token has expired.
func TestP10_NothingIsHeardAfterTheTokenHasExpired(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, nil)
	s := serve(t, socketio.NewRooms(socketio.Config{Access: access}, n.Hub))
	c := s.Dial(t)
	exchange(t, c, []string{`40{"token":"ann:admin:300ms","rooms":["class:a"]}`}, `40{"sid":"…`)
	expires := time.Now().Add(300 * time.Millisecond)
	for i := 0; time.Now().Before(expires.Add(100 * time.Millisecond)); i++ {
		realtimetest.Publish(t, n.Log, realtimetest.School, fmt.Sprint(i), realtimetest.Notice(fmt.Sprint(i), "a"))
	}
	late := realtimetest.Publish(t, n.Log, realtimetest.School, "late", realtimetest.Notice("late", "a"))
	for {
		f, err := c.Next()
		require.NoError(t, err)
		if f.Op == ws.CloseFrame {
			return
		}
		require.NotContains(t, string(f.Payload), late.String()+`"`)
	}
}

// What a page of another origin, and a token in the address, are answered.
func TestP10_WhoMayConnect(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, nil)
	addr := front(t, n, socketio.Config{})
	for _, test := range []struct {
		origin, query, bearer string
		status                int
	}{
		{"", "", "", 200},
		{"http://" + addr, "", "", 200},
		{"https://elsewhere.example", "", "", 403},
		{"null", "", "", 403},
		{"", "&token=ann:admin", "", 400},
		{"", "&access_token=ann:admin", "", 400},
		{"", "", "ann:admin", 200},
		{"", "", "nonsense", 401},
		{"https://elsewhere.example", "", "ann:admin", 403},
	} {
		status := handshake(t, "http://"+addr+"/socket.io/?EIO=4&transport=polling"+test.query, test.origin, test.bearer)
		require.Equal(t, test.status, status, "%+v", test)
	}
}

// handshake asks for a long-polling session and returns the status.
func handshake(t *testing.T, url, origin, bearer string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}
