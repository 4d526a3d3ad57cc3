package scenario_test

import (
	"bufio"
	"context"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

// Each program of docs/CLIENTS.md that can be run here is run as it is printed. A node is killed under
// it, and it hears every event once and in order.
func TestP6_TheClientsOfTheGuideMissNothing(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm", "python3", "java", "mvn")
	log := memlog.New(4)
	first := start(t, log)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &site{Listener: listener, node: first}
	web := httptest.NewUnstartedServer(s)
	web.Listener = s
	web.Start()
	t.Cleanup(func() { s.kill(); web.Close() })

	var programs []*program
	for _, block := range guide(t) {
		programs = append(programs, run(t, web.URL, block.language, block.text))
	}
	languages := map[string]int{}
	for _, p := range programs {
		languages[p.language]++
		p.wait(t, "ready")
	}
	require.Equal(t, map[string]int{"js": 3, "python": 2, "java": 2, "go": 1}, languages)
	var want []string
	publish := func(count int) {
		for range count {
			id := strconv.Itoa(len(want))
			want = append(want, rt.Publish(t, log, rt.School, id, rt.Notice(id, "7a")).String())
			rt.Publish(t, log, rt.School, "other"+id, rt.Notice(id, "8a"))
		}
	}
	for range 2 {
		publish(10)
		for _, p := range programs {
			p.hears(t, want)
		}
		s.kill()
		publish(10)
		s.put(start(t, log))
	}
	publish(5)
	for _, p := range programs {
		p.hears(t, want)
		require.Equal(t, want, p.heard, p.language)
	}
}

type block struct{ language, text string }

// guide returns the programs of the guide: those that say when they are ready.
func guide(t *testing.T) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile("../../docs/CLIENTS.md")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[2], `"ready"`) {
			blocks = append(blocks, block{m[1], m[2]})
		}
	}
	return blocks
}

// program is a running program of the guide.
type program struct {
	language string
	lines    chan string
	heard    []string // the positions of events
}

func run(t *testing.T, url, language, text string) *program {
	t.Helper()
	var command []string
	env := append(os.Environ(), "SERVER="+url, "TOKEN=head admin")
	file := func(dir, name string) string {
		f, err := os.CreateTemp(dir, "*-"+name)
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.Remove(f.Name()) })
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		return f.Name()
	}
	switch language {
	case "js":
		// A client for WebSockets is in browsers, and in newer versions of Node.
		env = append(env, "NODE_OPTIONS=--experimental-websocket --no-warnings")
		command = []string{"node", file(rt.NodePackages(t), "listen.mjs")}
	case "python":
		env = append(env, "PYTHONPATH="+devtest.PythonPackages(t, "testdata/requirements.txt"))
		command = []string{"python3", file(t.TempDir(), "listen.py")}
	case "java":
		jars := devtest.JavaPackages(t, "testdata/pom.xml")
		command = []string{"java", "-cp", filepath.Join(jars, "*"), file(t.TempDir(), "Listen.java")}
	case "go":
		binary := filepath.Join(t.TempDir(), "listen")
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary,
			file(t.TempDir(), "listen.go"))
		out, err := build.CombinedOutput()
		require.NoError(t, err, "%s", out)
		command = []string{binary}
	default:
		require.FailNow(t, "nothing runs "+language)
	}
	return launch(t, language, env, command)
}

// launch starts a program, which ends with the test.
func launch(t *testing.T, language string, env, command []string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env, cmd.Stderr = env, t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &program{language: language, lines: make(chan string, 10_000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			p.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-read
		_ = cmd.Wait() // it was killed
	})
	return p
}

// position is that of an event which a program prints whole.
var position = regexp.MustCompile(`"position":"([^"]+)"`)

// next returns the next line of a program.
func (p *program) next(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		require.True(t, ok, "%s has ended; it has heard %v", p.language, p.heard)
		if m := position.FindStringSubmatch(line); m != nil {
			return m[1]
		}
		return line
	case <-time.After(90 * time.Second):
		require.FailNow(t, "gave up waiting", "%s has heard %v", p.language, p.heard)
		return ""
	}
}

func (p *program) wait(t *testing.T, word string) {
	t.Helper()
	for p.next(t) != word {
	}
}

// hears waits until a program has heard as many events.
func (p *program) hears(t *testing.T, want []string) {
	t.Helper()
	for len(p.heard) < len(want) {
		if line := p.next(t); line != "ready" {
			p.heard = append(p.heard, line)
		}
	}
	require.Equal(t, want, p.heard, p.language)
}
