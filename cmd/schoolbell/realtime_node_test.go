package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/realtime/realtimetest/swarm"
)

// liveNode is a process with some roles, on the servers of another process.
type liveNode struct {
	program.Address
	dir   string
	args  []string
	files int // that it may have open; 0: as many as this process
	cmd   *exec.Cmd
}

func startLiveNode(t *testing.T, on *app, args ...string) *liveNode {
	t.Helper()
	return startNode(t, on, append([]string{
		"--roles=realtime", "--http=" + freeAddress(t), "--ops=127.0.0.1:0", "--ops-profiles",
	}, args...)...)
}

func startNode(t *testing.T, on *app, args ...string) *liveNode {
	t.Helper()
	n := &liveNode{dir: filepath.Join(t.TempDir(), "node")}
	n.args = append(kafkaArgs(on,
		"serve", "--data", n.dir, "--log-level=error", "--kafka-partitions=0", "--no-database-migrate",
		"--database-url="+on.Database, "--redis-url="+on.Redis, "--jwt-secret="+testSecret,
	), args...)
	require.NoError(t, n.start(t.Context()))
	t.Cleanup(n.kill)
	return n
}

// Connections cannot take the files that the process needs to say how it does.
func TestAProcessWithFewFilesStaysReady(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	n := startLiveNode(t, a)
	n.kill()
	n.files = 400
	require.NoError(t, n.start(t.Context()))
	t.Cleanup(n.kill)
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			require.NoError(t, c.Close())
		}
	}()
	for range 500 { // accepted or in the kernel's queue
		c, err := net.Dial("tcp", strings.TrimPrefix(n.HTTP, "http://"))
		require.NoError(t, err)
		idle = append(idle, c)
	}
	for range 3 {
		resp, err := n.ops(t.Context(), "/readyz")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
}

// start runs the process and waits until it is ready.
func (n *liveNode) start(ctx context.Context) error {
	n.cmd = programCommand(n.args...)
	if n.files > 0 {
		limited := exec.Command("sh", append([]string{
			"-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, n.files),
		}, n.cmd.Args...)...)
		limited.Env = n.cmd.Env
		n.cmd = limited
	}
	n.cmd.Stderr = os.Stderr
	if err := n.cmd.Start(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		at, err := program.ReadAddress(n.dir)
		if err == nil && at.PID == n.cmd.Process.Pid {
			n.Address = at
			if resp, err := n.ops(ctx, "/readyz"); err == nil && resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	return ctx.Err()
}

// restart stops the process as a service manager does, and starts it again.
func (n *liveNode) restart(ctx context.Context) error {
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := n.cmd.Wait(); err != nil {
		return err
	}
	return n.start(ctx)
}

// kill ends the process at once.
func (n *liveNode) kill() {
	_ = n.cmd.Process.Kill() // it may have ended
	_ = n.cmd.Wait()
}

// ops calls the operations port. The body is read and closed.
func (n *liveNode) ops(ctx context.Context, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.Ops+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(strings.NewReader(string(b)))
	return resp, err
}

// resident is the process's memory, after garbage has been collected.
func (n *liveNode) resident(t *testing.T) int64 {
	t.Helper()
	_, err := n.ops(t.Context(), "/debug/pprof/heap?gc=1")
	require.NoError(t, err)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		t.Skip("memory is read from /proc")
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	kB, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	require.NoError(t, err)
	return kB << 10
}

// metric reads one of the process's metrics.
func (n *liveNode) metric(t *testing.T, name string) float64 {
	t.Helper()
	resp, err := n.ops(t.Context(), "/metrics")
	require.NoError(t, err)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			require.NoError(t, err)
			return v
		}
	}
	require.Fail(t, "no such metric", name)
	return 0
}

const liveClasses = 20

func liveClass(i int) string { return "c" + strconv.Itoa(i%liveClasses) }

// liveSwarm makes clients of all kinds in all classes. Every eighth is a teacher of its class,
// who are so many as there are classes; the others are administrators.
func liveSwarm(t *testing.T, a *app, url string, clients int) []*swarm.Client {
	t.Helper()
	var staff []map[string]any
	for i := range liveClasses {
		id := "t-" + liveClass(i)
		staff = append(staff, event("north", id, "schoolbell.staff.assigned.v1", id, map[string]any{
			"staff_id": id, "name": "Teacher", "role": "teacher", "class_ids": []string{liveClass(i)},
		}))
	}
	a.publish(t, "north", staff...)
	at := a.startPosition(t, "north")
	a.get(t, "/v1/schools/north/analytics/overview", at.String(), new(any)) // the directory knows them
	var all []*swarm.Client
	for i := range clients {
		user, role := "u"+strconv.Itoa(i), "admin"
		if i%8 == 0 {
			user, role = "t-"+liveClass(i/len(swarm.Kinds)), "teacher"
		}
		all = append(all, &swarm.Client{
			Kind: swarm.Kinds[i%len(swarm.Kinds)], URL: url, Token: bearer(t, "north", user, role, time.Hour), School: "north",
			Room: "class:" + liveClass(i/len(swarm.Kinds)), From: at, Source: swarm.Loopback(i),
		})
	}
	return all
}

// requireJoined waits until all clients are in their rooms.
func requireJoined(t *testing.T, clients []*swarm.Client) {
	t.Helper()
	for _, c := range clients {
		require.Eventually(
			t, func() bool { return !c.State().Since.IsZero() }, time.Minute, time.Millisecond,
			"%s: %v", c.Kind, c.State().Ends,
		)
	}
}
