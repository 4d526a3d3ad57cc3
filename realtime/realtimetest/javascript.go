package realtimetest

import (
	"bufio"
	"context"
	"embed"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

//go:embed js/package.json js/package-lock.json
var packages embed.FS

// Script is a program on Node that exchanges lines with the test.
type Script struct {
	t     testing.TB
	in    *bufio.Writer
	lines chan string
}

// NodePackages returns a folder in which programs may import the official clients. The test must have
// called [devtest.Real].
func NodePackages(t testing.TB) (dir string) {
	t.Helper()
	files, err := fs.Sub(packages, "js")
	require.NoError(t, err)
	return devtest.NodePackages(t, files)
}

// JavaScript runs a program on Node (an ES module), which may import the official clients. Each
// line that it prints is read by Next. The program ends with the test, which must have called
// [devtest.Real].
func JavaScript(t testing.TB, source string, args ...string) *Script {
	t.Helper()
	dir := NodePackages(t)
	// Node resolves modules from the directory of the script.
	file, err := os.CreateTemp(dir, "test-*.mjs")
	require.NoError(t, err)
	_, err = file.WriteString(source)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", append([]string{file.Name()}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	s := &Script{t: t, in: bufio.NewWriter(in), lines: make(chan string, 100_000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(s.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			s.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-read
		_ = cmd.Wait() // it was killed
		_ = os.Remove(file.Name())
	})
	return s
}

// Send sends the script a line on its standard input.
func (s *Script) Send(line string) {
	s.t.Helper()
	_, err := s.in.WriteString(line + "\n")
	require.NoError(s.t, err)
	require.NoError(s.t, s.in.Flush())
}

// Next waits for a line that begins with a word, skipping others, and returns the rest of it.
func (s *Script) Next(word string) string {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-s.lines:
			require.True(s.t, ok, "the script has ended; waiting for %q", word)
			if rest, ok := strings.CutPrefix(line, word+" "); ok {
				return rest
			}
		case <-deadline:
			require.FailNow(s.t, "gave up waiting", "for %q", word)
		}
	}
}

// Lines returns the lines that the script prints.
func (s *Script) Lines() <-chan string { return s.lines }
