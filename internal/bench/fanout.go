package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Fanout measures servers that push events to rooms of WebSockets: how many deliveries a second of their CPU time they
// make while a given number of events are under way, how long the deliveries take, and what an idle connection costs.
// Each server is a process of its own, so that the clients' work is not counted.
type Fanout struct {
	Servers  []FanoutServer
	Rooms    int
	Members  int           // connections in each room
	InFlight []int         // events under way at once, one measurement each
	For      time.Duration // of each measurement
	Progress func(stage string)
}

// FanoutServer is one server to measure.
type FanoutServer struct {
	Name    string
	Command []string // prints "listening HOST:PORT", and serves until its standard input ends
	Env     []string
	Speaks  FanoutProtocol
}

// FanoutProtocol is how a client joins a room.
type FanoutProtocol struct {
	Path   string
	Greets bool                       // the server speaks first
	Join   func(room string) []string // what the client says, each after an answer
	Mark   []byte                     // is in every delivery once
	Ping   string                     // what the server asks for a sign of life with
	Pong   string                     // and the answer
}

// Protocols of the servers.
var (
	CentrifugeProtocol = FanoutProtocol{
		Path: "/connection/websocket",
		Join: func(room string) []string {
			return []string{`{"id":1,"connect":{"token":"bench"}}`, `{"id":2,"subscribe":{"channel":"class:` + room + `"}}`}
		},
		Mark: []byte(`"push"`), Ping: "{}", Pong: "{}",
	}
	SocketIOProtocol = FanoutProtocol{
		Path: "/socket.io/?EIO=4&transport=websocket", Greets: true,
		Join: func(room string) []string { return []string{"40", `420["join","class:` + room + `"]`} },
		Mark: []byte(`42["event"`), Ping: "2", Pong: "3",
	}
)

// Run measures each server in turn.
func (b *Fanout) Run(ctx context.Context) (*Result, error) {
	r := &Result{Benchmark: "realtime", Setup: fmt.Sprintf("%d rooms × %d connections", b.Rooms, b.Members)}
	for _, s := range b.Servers {
		if err := b.measure(ctx, s, r); err != nil {
			return nil, fmt.Errorf("measure %s: %w", s.Name, err)
		}
	}
	return r, nil
}

func (b *Fanout) measure(ctx context.Context, s FanoutServer, r *Result) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer func() { _ = stdin.Close(); cancel(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "listening ")
	if err != nil || !ok {
		return fmt.Errorf("start: it said %q", line)
	}
	f := &fanout{Fanout: b, server: s, address: address, pid: cmd.Process.Pid, web: &http.Client{Transport: &http.Transport{}}}
	if f.swarm, err = newSwarm(s.Speaks, f.hear); err != nil {
		return err
	}
	defer f.close()
	before, err := f.memory(ctx)
	if err != nil {
		return err
	}
	b.say(s.Name + ": connecting")
	if err := f.connect(ctx); err != nil {
		return err
	}
	idle, err := f.memory(ctx)
	if err != nil {
		return err
	}
	r.add(s.Name+": idle connection", float64(idle-before)/float64(b.Rooms*b.Members)/1024, "KB", "resident, after collecting garbage")
	for _, inFlight := range b.InFlight {
		b.say(fmt.Sprintf("%s: %d events under way", s.Name, inFlight))
		if err := f.flood(ctx, inFlight, r); err != nil {
			return err
		}
	}
	return nil
}

func (b *Fanout) say(stage string) {
	if b.Progress != nil {
		b.Progress(stage)
	}
}

// fanout is the clients of one server.
type fanout struct {
	*Fanout
	server    FanoutServer
	address   string
	pid       int
	web       *http.Client
	swarm     *swarm
	delivered atomic.Int64
	samples   atomic.Bool

	mu   sync.Mutex
	took []time.Duration
}

// post tells the server something.
func (f *fanout) post(ctx context.Context, what string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.address+what, nil)
	if err != nil {
		return fmt.Errorf("post %s: %w", what, err)
	}
	res, err := f.web.Do(req)
	if err != nil {
		return fmt.Errorf("post %s: %w", what, err)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close())
}

func (f *fanout) close() {
	f.web.CloseIdleConnections()
	f.swarm.close()
}

// connect opens all connections, from several addresses so that there are ports enough.
func (f *fanout) connect(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(32)
	for i := range f.Rooms * f.Members {
		g.Go(func() error {
			from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/20_000))}
			conn, had, err := f.join(ctx, from, "r"+strconv.Itoa(i%f.Rooms))
			if err != nil {
				return err
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.swarm.add(conn, had)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	f.swarm.start()
	return nil
}

// join opens one connection in a room, and returns what it has already heard there.
func (f *fanout) join(ctx context.Context, from net.Addr, room string) (net.Conn, []byte, error) {
	conn, err := (&net.Dialer{LocalAddr: from, Timeout: 10 * time.Second}).DialContext(ctx, "tcp", f.address)
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	in := bufio.NewReaderSize(conn, 4096)
	if err = f.greet(conn, in, room); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	had, _ := in.Peek(in.Buffered())
	return conn, had, nil
}

// greet shakes hands and joins the room.
func (f *fanout) greet(conn net.Conn, in *bufio.Reader, room string) error {
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", f.server.Speaks.Path, f.address)
	res, err := http.ReadResponse(in, nil) //nolint:bodyclose // an answer that switches protocols has none
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("connect: refused: %v %w", res, err)
	}
	if f.server.Speaks.Greets {
		if err := skipFrame(in); err != nil {
			return fmt.Errorf("join: %w", err)
		}
	}
	for _, message := range f.server.Speaks.Join(room) {
		if _, err := conn.Write(maskedText(message)); err != nil {
			return fmt.Errorf("join: %w", err)
		}
		if err := skipFrame(in); err != nil {
			return fmt.Errorf("join: %w", err)
		}
	}
	return nil
}

// skipFrame reads one frame, which is not long.
func skipFrame(in *bufio.Reader) error {
	for n := 2; ; {
		b, err := in.Peek(n)
		if err != nil {
			return fmt.Errorf("read frame: %w", err)
		}
		if _, rest, ok := cutFrame(b); ok {
			_, err := in.Discard(len(b) - len(rest))
			return err
		}
		n = max(n+1, in.Buffered())
	}
}

// hear notes what a client has received.
func (f *fanout) hear(deliveries int, published, now time.Time) {
	f.delivered.Add(int64(deliveries))
	if f.samples.Load() && !published.IsZero() {
		f.mu.Lock()
		f.took = append(f.took, now.Sub(published))
		f.mu.Unlock()
	}
}

// flood keeps a number of events under way for a while, and adds what it sees.
func (f *fanout) flood(ctx context.Context, inFlight int, r *Result) error {
	f.delivered.Store(0)
	published := int64(0)
	run := func(d time.Duration) error {
		for end := time.Now().Add(d); time.Now().Before(end); {
			missing := int64(inFlight) - (published - f.delivered.Load()/int64(f.Members))
			if missing < max(1, int64(inFlight)/8) {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(200 * time.Microsecond):
				}
				continue
			}
			if err := f.post(ctx, fmt.Sprintf("/publish?events=%d&rooms=%d", missing, f.Rooms)); err != nil {
				return err
			}
			published += missing
		}
		return nil
	}
	if err := run(f.For / 4); err != nil { // to get going
		return err
	}
	f.took = nil
	f.samples.Store(true)
	cpu, err := f.cpu()
	if err != nil {
		return err
	}
	start, first := time.Now(), f.delivered.Load()
	if err := run(f.For); err != nil {
		return err
	}
	spent, err := f.cpu()
	if err != nil {
		return err
	}
	count := float64(f.delivered.Load() - first)
	elapsed := time.Since(start).Seconds()
	f.samples.Store(false)
	name := fmt.Sprintf("%s, %d under way", f.server.Name, inFlight)
	r.add(name+": deliveries", count/elapsed, "/s", "")
	r.add(name+": deliveries per core", count/(spent-cpu).Seconds(), "/s", fmt.Sprintf("of %.2f cores", (spent-cpu).Seconds()/elapsed))
	f.mu.Lock()
	defer f.mu.Unlock()
	r.addLatencies(name+": published → read", f.took, "by clients on the same machine")
	f.took = nil
	return nil
}

// clockTicks is how Linux counts CPU time in /proc: in hundredths of a second.
const clockTicks = 100

// cpu is the CPU time that the server has used.
func (f *fanout) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / clockTicks, errors.Join(err1, err2)
}

// memory is what the server has resident, in bytes, without garbage.
func (f *fanout) memory(ctx context.Context) (int64, error) {
	for range 3 { // what a stack or a finalizer held is garbage only in the next round
		if err := f.post(ctx, "/settle"); err != nil {
			return 0, err
		}
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", f.pid))
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// maskedText is a short text as a client sends it, with a mask of zeros.
func maskedText(s string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(s)), 0, 0, 0, 0}, s...)
}

// cutFrame takes the payload of the first frame off.
func cutFrame(b []byte) (payload, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, b, false
	}
	head, n := 2, int(b[1]&0x7F)
	switch {
	case n == 126 && len(b) >= 4:
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	case n == 127 && len(b) >= 10:
		head, n = 10, int(binary.BigEndian.Uint64(b[2:]))
	case n >= 126:
		return nil, b, false
	}
	if len(b) < head+n {
		return nil, b, false
	}
	return b[head : head+n], b[head+n:], true
}

// publishedAt reads when the first event in a frame was published, from its title.
func publishedAt(payload []byte) time.Time {
	_, title, _ := bytes.Cut(payload, []byte(`"title":"t`))
	end := max(0, bytes.IndexByte(title, '"'))
	nanos, err := strconv.ParseInt(string(title[:end]), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}
