package scenario_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	client "github.com/centrifugal/centrifuge-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/centrifuge"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/socketio"
	"github.com/schoolbell/schoolbell/realtime/sse"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/centrifugal/centrifuge-go.(*Client).sendAsync.func1"))
}

// node is a hub with the servers of all protocols.
type node struct {
	handler http.Handler
	stop    func()
}

func start(t *testing.T, log *memlog.Log) *node {
	hub := rt.Start(t, log, func(c *realtime.Config) { c.RingBytes = 100_000 })
	access := rt.Access()
	ctx, cancel := context.WithCancel(context.Background())
	cf := centrifuge.New(centrifuge.Config{Hub: hub.Hub, Access: access})
	sio := socketio.NewRooms(socketio.Config{Access: access}, hub.Hub)
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", cf)
	mux.Handle("/connection/http_stream", cf.HTTPStream())
	mux.Handle("/connection/sse", cf.EventStream())
	mux.Handle("/emulation", cf.Commands())
	mux.Handle("/socket.io/", sio)
	mux.Handle("GET /v1/schools/{school}/stream",
		sse.Handler(sse.Config{Hub: hub.Hub, Access: access}))
	n := &node{handler: mux}
	var all sync.WaitGroup
	all.Go(func() { _ = cf.Run(ctx) })
	n.stop = sync.OnceFunc(func() {
		cancel()
		hub.Kill()
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = sio.Shutdown(short)
		all.Wait()
	})
	return n
}

// site is one address in front of the node that is running.
type site struct {
	net.Listener
	mu    sync.RWMutex
	node  *node
	conns []net.Conn
}

// Accept remembers connections, to cut them.
func (s *site) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns = append(s.conns, conn)
	}
	return conn, err
}

// kill stops the node and resets all connections, as the kernel does for a killed process.
func (s *site) kill() {
	s.mu.Lock()
	n, conns := s.node, s.conns
	s.node, s.conns = nil, nil
	s.mu.Unlock()
	for _, c := range conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	n.stop()
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	n := s.node
	s.mu.RUnlock()
	if n == nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	n.handler.ServeHTTP(w, r)
}

func (s *site) put(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node = n
}

const javascript = `
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { io } from 'socket.io-client';
const [url, from] = process.argv.slice(2);
const print = (...words) => console.log(words.join(' '));
const c = new Centrifuge(url.replace('http', 'ws') + '/connection/websocket', { websocket: WebSocket, token: 'head admin', minReconnectDelay: 10, maxReconnectDelay: 50 });
const sub = c.newSubscription('class:7a', { recoverable: true, minResubscribeDelay: 10, maxResubscribeDelay: 50, since: { offset: parseInt(from.split(':')[1]), epoch: from.split('-')[1] ?? '' } });
sub.on('publication', e => print('centrifuge', e.offset));
sub.on('subscribed', e => print('log', 'centrifuge', e.wasRecovering, e.recovered));
sub.subscribe();
c.connect();
for (const transport of ['websocket', 'polling']) {
	const s = io(url, { transports: [transport], reconnectionDelay: 10, reconnectionDelayMax: 50, auth: { token: 'head admin', rooms: ['class:7a'], from } });
	s.on('connect', () => print('log', transport, s.recovered));
	s.onAny((name, event) => { if (name.startsWith('schoolbell.')) print(transport, parseInt(event.position.split(':')[1])); });
}
`

// Clients of four kinds on three protocols, each over three killed nodes while events keep coming:
// each receives its room's part of the log, once and in order.
func TestP6_AllProtocolsReceiveTheSameLog(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	log := memlog.New(4)
	var front site
	front.put(start(t, log))
	web := httptest.NewUnstartedServer(&front)
	front.Listener, web.Listener = web.Listener, &front
	web.Start()
	t.Cleanup(func() { front.kill(); web.Close() })
	first := rt.Publish(t, log, rt.School, "first", rt.Notice("first", "7b"))
	second := rt.Publish(t, log, rt.School, "second", rt.Notice("second", "7b"))
	require.Equal(t, first.Offset+1, second.Offset)

	var mu sync.Mutex
	received := map[string][]int64{}
	changed := make(chan struct{}, 1)
	receive := func(name string, offset int64) {
		mu.Lock()
		defer mu.Unlock()
		received[name] = append(received[name], offset)
		select {
		case changed <- struct{}{}:
		default:
		}
	}

	js := rt.JavaScript(t, javascript, web.URL, second.String())
	go func() {
		for line := range js.Lines() {
			name, offset, _ := strings.Cut(line, " ")
			if o, err := strconv.ParseInt(offset, 10, 64); err == nil {
				receive(name, o)
			}
		}
	}()

	goClient := client.NewJsonClient("ws"+strings.TrimPrefix(web.URL, "http")+
		"/connection/websocket",
		client.Config{
			Token: "head admin", MinReconnectDelay: 10 * time.Millisecond,
			MaxReconnectDelay: 50 * time.Millisecond,
		})
	t.Cleanup(goClient.Close)
	sub, err := goClient.NewSubscription("class:7a", client.SubscriptionConfig{
		Recoverable: true, MinResubscribeDelay: 10 * time.Millisecond,
		MaxResubscribeDelay: 50 * time.Millisecond,
	})
	require.NoError(t, err)
	sub.OnPublication(func(e client.PublicationEvent) { receive("centrifuge-go", int64(e.Offset)) })
	subscribed := make(chan struct{}, 100)
	sub.OnSubscribed(func(client.SubscribedEvent) { subscribed <- struct{}{} })
	require.NoError(t, sub.Subscribe())
	require.NoError(t, goClient.Connect())
	<-subscribed

	ctx, cancel := context.WithCancel(context.Background())
	var streams sync.WaitGroup
	streams.Go(func() { stream(ctx, web.URL, second.String(), receive) })
	t.Cleanup(func() { cancel(); streams.Wait() })

	var want []int64
	publish := func(events int) {
		for range events {
			id := fmt.Sprint(len(want))
			pos := rt.Publish(t, log, rt.School, id, rt.Notice(id, "7a"))
			want = append(want, pos.Offset)
			rt.Publish(t, log, rt.School, id, rt.Notice(id, "7a")) // a retry
			rt.Publish(t, log, rt.School, "b"+id, rt.Notice(id, "7b"))
		}
	}
	caughtUp := func() {
		deadline := time.After(40 * time.Second)
		for {
			mu.Lock()
			behind := ""
			for _, name := range []string{
				"centrifuge", "websocket", "polling", "centrifuge-go",
				"sse",
			} {
				if got := received[name]; len(got) == 0 || got[len(got)-1] < want[len(want)-1] {
					behind = fmt.Sprintf("%s has received %d of %d", name, len(got), len(want))
				}
			}
			mu.Unlock()
			if behind == "" {
				return
			}
			select {
			case <-changed:
			case <-time.After(time.Second):
			case <-deadline:
				require.FailNow(t, "gave up waiting", behind)
			}
		}
	}
	publish(20)
	caughtUp()
	for range 3 {
		publish(50) // some of these are under way when the node dies
		front.kill()
		publish(50)
		front.put(start(t, log))
		publish(50)
		caughtUp()
	}
	mu.Lock()
	defer mu.Unlock()
	for name, got := range received {
		require.Equal(t, want, got, name)
	}
	require.Len(t, received, 5)
}

// stream reads server-sent events like a browser: it reconnects with the last id that it has seen.
func stream(ctx context.Context, url, last string, receive func(string, int64)) {
	transport := &http.Transport{DisableKeepAlives: true}
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet,
			url+"/v1/schools/"+rt.School+"/stream?rooms=class:7a", nil)
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "Bearer head admin")
		req.Header.Set("Last-Event-ID", last)
		res, err := transport.RoundTrip(req)
		if err != nil || res.StatusCode != http.StatusOK {
			if err == nil {
				_ = res.Body.Close()
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		var kind, pending string
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case name == "id":
				pending = value
			case name == "event":
				kind = value
			case name == "": // the end of a message; an id alone is one too
				last = cmp.Or(pending, last)
				_, offset, _ := strings.Cut(pending, ":")
				if o, err := strconv.ParseInt(offset, 10, 64); err == nil && kind == "event" {
					receive("sse", o)
				}
				kind, pending = "", ""
			}
		}
		_ = res.Body.Close()
	}
}
