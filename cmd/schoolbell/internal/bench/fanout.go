package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fanout measures servers that push events to rooms of WebSockets: how many deliveries a second of
// their CPU time they make while a given number of deliveries are under way, how long those take,
// and what an idle connection costs. Each server is a process of its own, so that the clients' work
// is not counted.
//
// With two cores or more the clients need some of them. What a server makes of more cores is
// therefore derived from its CPU time: as many times the deliveries of one core as it has cores, if
// each delivery costs as much as on one.
type Fanout struct {
	Servers  []FanoutServer
	Rooms    int
	Members  []int         // connections in each room
	Cores    []int         // that a server may use
	InFlight []int         // deliveries under way at once
	For      time.Duration // of each measurement
	Progress Progress
}

// FanoutServer is one server to measure.
type FanoutServer struct {
	Name     string
	Command  []string // prints "listening HOST:PORT", and serves until its standard input ends
	Env      []string
	Protocol FanoutProtocol
	OneCore  bool // it cannot use more
}

// Run measures each server in turn. What one of them fails with is in the error; the figures of the
// others are there nevertheless.
func (b *Fanout) Run(ctx context.Context) (*Result, error) {
	r := &Result{Benchmark: "realtime", Setup: fmt.Sprintf("%d rooms", b.Rooms)}
	var failed []error
	for _, members := range b.Members {
		for _, s := range b.Servers {
			perCore := map[int]float64{} // by deliveries under way, with the first number of cores
			for i, cores := range b.Cores {
				if s.OneCore && i > 0 {
					continue
				}
				f := &fanout{
					Fanout: b, server: s, members: members, cores: cores,
					perCore: map[int]float64{},
				}
				f.name = fmt.Sprintf("%s, %d × %d", s.Name, b.Rooms, members)
				if len(b.Cores) > 1 {
					f.name += fmt.Sprintf(", cores: %d", cores)
				}
				if err := f.measure(ctx, r); err != nil {
					failed = append(failed, fmt.Errorf("measure %s: %w", f.name, err))
					b.Progress.report("%s", failed[len(failed)-1])
					if ctx.Err() != nil {
						return r, errors.Join(failed...)
					}
				}
				for _, n := range b.InFlight {
					if i == 0 {
						perCore[n] = f.perCore[n]
					} else if perCore[n] > 0 && f.perCore[n] > 0 {
						r.add(fmt.Sprintf("%s, %d under way: scaling", f.name, n), f.perCore[n]/perCore[n]*float64(cores)/float64(b.Cores[0]), "×", "by CPU time for each delivery")
					}
				}
			}
		}
	}
	return r, errors.Join(failed...)
}

// measure starts the server and puts it under load.
func (f *fanout) measure(ctx context.Context, r *Result) error {
	s := f.server
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.Env = append(append(os.Environ(), s.Env...), fmt.Sprintf("GOMAXPROCS=%d", f.cores))
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
	// Node closes what has been idle for five seconds, perhaps in the moment when a request is sent
	// on it.
	f.address, f.pid, f.web = address, cmd.Process.Pid, &http.Client{
		Transport: &http.Transport{IdleConnTimeout: time.Second},
	}
	defer f.web.CloseIdleConnections()
	before, err := f.memory(ctx)
	if err != nil {
		return err
	}
	f.Progress.report("%s: connecting", f.name)
	swarm, err := connect(ctx, address, s.Protocol, f.Rooms, f.Rooms*f.members, f.receive)
	if err != nil {
		return err
	}
	defer swarm.close()
	idle, err := f.memory(ctx)
	if err != nil {
		return err
	}
	r.add(f.name+": idle connection", float64(idle-before)/float64(f.Rooms*f.members)/1024, "KB",
		"resident, after collecting garbage")
	for _, inFlight := range f.InFlight {
		f.Progress.report("%s: %d deliveries under way", f.name, inFlight)
		if err := f.flood(ctx, inFlight, r); err != nil {
			return err
		}
	}
	return nil
}

// fanout is the clients of one server.
type fanout struct {
	*Fanout
	server    FanoutServer
	name      string
	members   int
	cores     int
	perCore   map[int]float64 // deliveries a second of CPU time, by how many are under way
	address   string
	pid       int
	web       *http.Client
	delivered atomic.Int64
	samples   atomic.Bool

	mu   sync.Mutex
	took []time.Duration
}

// post sends the server a command.
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

// receive notes what a client has received.
func (f *fanout) receive(deliveries int, published, now time.Time) {
	f.delivered.Add(int64(deliveries))
	if f.samples.Load() && !published.IsZero() {
		f.mu.Lock()
		f.took = append(f.took, now.Sub(published))
		f.mu.Unlock()
	}
}

// flood keeps a number of deliveries in flight for a while, and adds what it sees.
func (f *fanout) flood(ctx context.Context, deliveries int, r *Result) error {
	inFlight := max(1, deliveries/f.members) // events
	f.delivered.Store(0)
	published := int64(0)
	run := func(d time.Duration) error {
		for end := time.Now().Add(d); time.Now().Before(end); {
			missing := int64(inFlight) - (published - f.delivered.Load()/int64(f.members))
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
	name := fmt.Sprintf("%s, %d under way", f.name, deliveries)
	used := max(spent-cpu, time.Second/clockTicks).Seconds()
	f.perCore[deliveries] = count / used
	r.add(name+": deliveries", count/elapsed, "/s", "")
	r.add(name+": deliveries per core", f.perCore[deliveries], "/s",
		fmt.Sprintf("of %.2f cores", used/elapsed))
	f.mu.Lock()
	defer f.mu.Unlock()
	r.addLatencies(name+": published → read", f.took, "by clients on the same machine")
	f.took = nil
	return nil
}

// clockTicks is how Linux counts CPU time in /proc: in hundredths of a second.
const clockTicks = 100

// cpu is the CPU time that the server has used.
func (f *fanout) cpu() (time.Duration, error) { return cpuOf(f.pid) }

// cpuOf is the CPU time that a process has used.
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
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
