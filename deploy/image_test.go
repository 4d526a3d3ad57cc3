package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

// What the image is built from has all that the program is made of, and no data, secrets or tests.
func TestTheImageIsBuiltFromTheProgramAlone(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../.dockerignore")
	require.NoError(t, err)
	rules := rulesOf(string(text))
	root, err := filepath.Abs("..")
	require.NoError(t, err)

	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags=noembed", "-json=Dir,Standard,Module,GoFiles,EmbedFiles",
		"./cmd/schoolbell")
	list.Dir = root
	out, err := list.Output()
	require.NoError(t, err)
	files := []string{"go.mod", "go.sum"}
	for dec := jsontext.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir                 string
			Module              *struct{ Main bool }
			GoFiles, EmbedFiles []string
		}
		err := json.UnmarshalDecode(dec, &p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if p.Module == nil || !p.Module.Main {
			continue
		}
		dir, err := filepath.Rel(root, p.Dir)
		require.NoError(t, err)
		for _, f := range append(p.GoFiles, p.EmbedFiles...) {
			files = append(files, filepath.Join(dir, f))
		}
	}
	require.Greater(t, len(files), 300)
	for _, f := range files {
		require.False(t, rules.ignores(f), "%s is a part of the program", f)
	}
	for _, f := range []string{
		".git/config", ".data/jwt-secret", "cmd/schoolbell/.data/postgres/PG_VERSION", "deploy/secrets/jwt-secret",
		"bin/schoolbell", "docs/DESIGN.md", "cmd/schoolbell/main_test.go", "internal/httpapi/testdata/openapi.json",
		"realtime/socketio/conformance/node_modules/ws/index.js", "cmd/.env",
	} {
		require.True(t, rules.ignores(f), "%s is none", f)
	}
}

// rules are the lines of a .dockerignore; the last one that matches counts.
type rules []string

func rulesOf(text string) (r rules) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			r = append(r, line)
		}
	}
	return r
}

func (r rules) ignores(file string) bool {
	ignored := false
	for _, line := range r {
		pattern, include := strings.CutPrefix(line, "!")
		if matches(pattern, file) {
			ignored = !include
		}
	}
	return ignored
}

// matches reports whether a pattern names the file, or a folder that it is in.
func matches(pattern, file string) bool {
	anywhere, deep := strings.CutPrefix(pattern, "**/")
	parts := strings.Split(file, "/")
	if !deep {
		parts = parts[:1] // our patterns name folders at the top
	}
	for _, part := range parts {
		if ok, err := path.Match(anywhere, part); err == nil && ok {
			return true
		}
	}
	return false
}
