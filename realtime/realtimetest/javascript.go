package realtimetest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

//go:embed js/package.json js/package-lock.json
var packages embed.FS

// install puts the packages of js into a folder of the user's cache, once for each version of the lock file.
var install = sync.OnceValues(func() (string, error) {
	lock, err := packages.ReadFile("js/package-lock.json")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "schoolbell", "js-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	// Another process may be doing the same: whoever is first moves a whole folder into place.
	half, err := os.MkdirTemp(filepath.Dir(dir), "js-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := packages.ReadFile("js/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(half, name), b, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir = half
	if out, err := npm.CombinedOutput(); err != nil {
		return "", &installError{err, string(out)}
	}
	if err := os.Rename(half, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
})

type installError struct {
	error
	output string
}

func (e *installError) Error() string { return e.error.Error() + "\n" + e.output }

// Script is a program on Node that talks with the test by lines.
type Script struct {
	t     testing.TB
	in    *bufio.Writer
	lines chan string
}

// JavaScript runs a program on Node (an ES module), which may import the official clients. Each line that it prints is there for Next;
// it ends with the test. Without Node or npm the test is skipped, except in CI.
func JavaScript(t testing.TB, source string, args ...string) *Script {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				require.NoError(t, err)
			}
			t.Skipf("%s is not here", program)
		}
	}
	dir, err := install()
	require.NoError(t, err)
	// Modules are found from where the script is.
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

// Tell sends the script a line on its standard input.
func (s *Script) Tell(line string) {
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

// Lines are the lines that the script prints, for a test that wants all of them.
func (s *Script) Lines() <-chan string { return s.lines }
