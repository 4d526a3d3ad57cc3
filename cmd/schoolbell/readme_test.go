package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
)

// block is a fenced block of a document.
type block struct {
	info string // after the fence: a language, and for this test "server" or "example"
	text string
	line int
}

func blocks(t *testing.T, file string) (all []block) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var open *block
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		switch info, fence := strings.CutPrefix(line, "```"); {
		case fence && open == nil:
			open = &block{info: strings.TrimSpace(info), line: n}
		case fence:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += line
		}
	}
	return all
}

// TestReadmeTourRunsAsPrinted starts the block of the server, runs the blocks marked sh one after
// another in one shell, and compares what they print with the block that follows, where there is
// one. Whitespace does not count, … stands for anything, and -k3f9a for the name of any log.
func TestReadmeTourRunsAsPrinted(t *testing.T) {
	t.Parallel()
	for _, needed := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skipf("the tour needs %s, which is not installed", needed)
		}
	}
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o700))
	self, err := filepath.Abs(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(dir, "bin", "schoolbell")))
	env := append(
		os.Environ(), asProgram+"=1", "SCHOOLBELL_HTTP=127.0.0.1:0", "SCHOOLBELL_OPS=127.0.0.1:0",
	)

	all := blocks(t, "../../README.md")
	tour := startShell(t, dir, env)
	for i, b := range all {
		switch b.info {
		case "sh server":
			require.Equal(t, "make run\n", b.text)
			startDemo(t, dir, env)
		case "sh":
			got := tour.run(t, b.text)
			if i+1 < len(all) && !strings.HasPrefix(all[i+1].info, "sh") && all[i+1].info != "js" {
				want := all[i+1]
				require.Regexp(t, pattern(want.text), squeeze(got),
					"README.md:%d prints, instead of the block at line %d:\n%s", b.line, want.line,
					got)
			}
		}
	}
}

// startDemo does what make run does, and waits until the demonstration school has numbers.
func startDemo(t *testing.T, dir string, env []string) {
	t.Helper()
	makefile, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	require.Contains(t, string(makefile), "\t@bin/schoolbell serve --demo --data=$(DATA)\n")
	serve := exec.Command("bin/schoolbell", "serve", "--demo", "--data=.data")
	serve.Dir, serve.Env, serve.Stderr = dir, env, t.Output()
	require.NoError(t, serve.Start())
	t.Cleanup(func() {
		_ = serve.Process.Signal(os.Interrupt)
		_ = serve.Wait()
	})
	data := filepath.Join(dir, ".data")
	require.Eventually(t, func() bool {
		_, err := program.ReadAddress(data)
		return err == nil
	}, time.Minute, 50*time.Millisecond, "serve has not started")
	api, err := remote{Data: data}.client()
	require.NoError(t, err)
	defer api.Close()
	require.Eventually(t, func() bool { // a reader has typed for longer than this
		var overview struct {
			Average     *float64 `json:"average"`
			Outstanding []any    `json:"outstanding"`
		}
		err := api.Get(t.Context(), "/v1/schools/demo/analytics/overview", &overview)
		return err == nil && overview.Average != nil && len(overview.Outstanding) > 0
	}, time.Minute, 50*time.Millisecond, "the demonstration school has no numbers")
}

// shell runs blocks one after another, as a terminal does.
type shell struct {
	out *bufio.Reader
	w   *os.File
}

func startShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	in, w, err := os.Pipe()
	require.NoError(t, err)
	r, out, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "bash")
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, env, in, out, out
	require.NoError(t, cmd.Start())
	require.NoError(t, in.Close())
	require.NoError(t, out.Close())
	t.Cleanup(func() {
		_ = w.Close()
		_ = cmd.Wait()
		_ = r.Close()
	})
	return &shell{out: bufio.NewReader(r), w: w}
}

const endOfBlock = "--- end of block ---"

func (s *shell) run(t *testing.T, commands string) string {
	t.Helper()
	_, err := fmt.Fprintf(s.w, "%s\necho; echo '%s'\n", commands, endOfBlock)
	require.NoError(t, err)
	var printed strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		require.NoError(t, err, "the shell has ended after:\n%s", printed.String())
		if strings.TrimSpace(line) == endOfBlock {
			return printed.String()
		}
		printed.WriteString(line)
	}
}

var space = regexp.MustCompile(`\s+`)

func squeeze(s string) string { return space.ReplaceAllString(s, "") }

func pattern(want string) string {
	parts := strings.Split(squeeze(want), "…")
	for i := range parts {
		parts[i] = strings.ReplaceAll(regexp.QuoteMeta(parts[i]), "-k3f9a", "-[0-9a-z]{5}")
	}
	return "^" + strings.Join(parts, "(?s:.*?)") + "$"
}
