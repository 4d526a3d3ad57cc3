package socketio_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/devstack"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/socketio"
)

// access accepts tokens of the form "user:role", or "user:role:duration" for one that expires.
var access = &realtime.Access{Verify: func(_ context.Context, token string) (realtime.Identity,
	error,
) {
	parts := strings.Split(token, ":")
	if len(parts) < 2 {
		return realtime.Identity{}, realtime.ErrInvalidToken
	}
	identity := realtimetest.User(parts[0], parts[1])
	if len(parts) == 3 {
		valid, err := time.ParseDuration(parts[2])
		if err != nil {
			return identity, err
		}
		identity.Expires = time.Now().Add(valid)
	}
	return identity, nil
}}

// nodeDir is the environment variable that turns the test binary into a node, with its log in that
// directory.
const nodeDir = "SCHOOLBELL_TEST_NODE_DIR"

// runNode runs a small Schoolbell: a log on disk, a hub, sockets, and POST /publish/{class}/{id}.
func runNode(dir string) {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "node:", err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	broker, err := devstack.StartKafka(devstack.KafkaConfig{Dir: dir})
	check(err)
	log, err := kafka.Open(ctx, kafka.Config{Brokers: broker.Brokers(), Partitions: 4},
		slog.New(slog.DiscardHandler), nil)
	check(err)
	hub, err := realtime.New(realtime.Config{Log: log, Key: realtimetest.Key})
	check(err)
	go func() { check(hub.Run(ctx)) }()
	check(hub.Ready(ctx))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listener.Addr())
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", socketio.NewRooms(socketio.Config{Access: access}, hub))
	mux.HandleFunc("POST /publish/{class}/{id}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		rec, err := cloudevents.Encode(&domain.Envelope{
			ID: id, Source: "test", School: realtimetest.School, Time: time.Now(),
			Data: realtimetest.Notice(id, r.PathValue("class")),
		})
		if err == nil {
			_, err = log.Append(r.Context(), realtimetest.School, []eventlog.Record{rec})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	check(http.Serve(listener, mux)) //nolint:gosec // it lives for one test
}

// process is a node in a process of its own.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	addr   string
	client *http.Client
}

func startProcess(t *testing.T, dir string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodeDir+"="+dir)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{
		t: t, cmd: cmd,
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	t.Cleanup(p.kill)
	p.addr, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	p.addr = strings.TrimSpace(p.addr)
	return p
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *process) publish(class, id string) {
	p.t.Helper()
	res, err := p.client.Post("http://"+p.addr+"/publish/"+class+"/"+id, "", nil)
	require.NoError(p.t, err)
	require.NoError(p.t, res.Body.Close())
	require.Equal(p.t, 200, res.StatusCode)
}

// balancer forwards connections to one node at a time, like a load balancer.
type balancer struct {
	net.Listener
	mu      sync.Mutex
	target  string
	open    map[net.Conn]bool
	running sync.WaitGroup
}

func startBalancer(t *testing.T) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &balancer{Listener: listener, open: map[net.Conn]bool{}}
	b.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			b.running.Go(func() { b.pass(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		b.point("")
		b.running.Wait()
	})
	return b
}

func (b *balancer) url() string { return "http://" + b.Addr().String() }

// point sends new connections to a node and breaks the others.
func (b *balancer) point(target string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.target = target
	for c := range b.open {
		_ = c.Close()
	}
	clear(b.open)
}

func (b *balancer) pass(client net.Conn) {
	defer client.Close()
	b.mu.Lock()
	server, err := net.Dial("tcp", b.target)
	if err != nil {
		b.mu.Unlock()
		return
	}
	b.open[client], b.open[server] = true, true
	b.mu.Unlock()
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
	both.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
	both.Wait()
}

// front serves a hub of this process.
func front(t *testing.T, n *realtimetest.Node, cfg socketio.Config) (addr string) {
	t.Helper()
	cfg.Access = access
	s := serve(t, socketio.NewRooms(cfg, n.Hub))
	return strings.TrimSuffix(strings.TrimPrefix(s.URL, "ws://"),
		"/socket.io/?EIO=4&transport=websocket")
}
