package httpapi_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// requireMarks checks that the log has so many events of a producer, each the same mark by the same
// person.
func requireMarks(t *testing.T, s *stack, source, actor string, want int) {
	t.Helper()
	partition := eventlog.PartitionFor("north", partitions)
	batch, err := s.log.Fetch(t.Context(), partition, 0, 1<<20, 0)
	require.NoError(t, err)
	require.Len(t, batch.Records, want)
	for _, rec := range batch.Records {
		e, err := cloudevents.Decode(rec)
		require.NoError(t, err)
		require.Equal(t, source, e.Source)
		require.Equal(t, actor, e.Actor, e.ID)
		require.Equal(t, &attendance.Marked{
			StudentID: "s-1", ClassID: "7A",
			Date: domain.NewDate(2026, 9, 1), Session: "day", Status: attendance.Late,
		}, e.Data, e.ID)
	}
}

// The requests are recordings of what the CloudEvents SDK for Go 2.16.2 sends.
func TestRequestsOfTheSDKForGo(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	recordings, err := filepath.Glob("testdata/sdk/go/*.http")
	require.NoError(t, err)
	require.NotEmpty(t, recordings)
	for _, file := range recordings {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		require.NoError(t, err, file)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		var headers []string
		for name, values := range r.Header {
			headers = append(headers, name, values[0])
		}
		got := s.do(r.Method, r.URL.Path, token(t, "north", "sis", "events:write"), string(body),
			headers...)
		require.Equal(t, http.StatusAccepted, got.StatusCode, "%s: %s", file, got.body)
	}
	requireMarks(t, s, "/sis/go", "Élodie €", len(recordings))
}

func TestTheSDKForPythonPublishes(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "python3")
	s := logOnly(t)
	script := exec.CommandContext(t.Context(), devtest.Program(t, "python3"),
		"testdata/sdk/publish.py", s.server.URL+"/v1/schools/north/events",
		token(t, "north", "sis", "events:write"))
	script.Env = append(os.Environ(),
		"PYTHONPATH="+devtest.PythonPackages(t, "testdata/sdk/requirements.txt"))
	out, err := script.CombinedOutput()
	require.NoError(t, err, "%s", out)
	requireMarks(t, s, "/sis/python", "Élodie", 9)
}

func TestTheSDKForJavaScriptPublishes(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	s := logOnly(t)
	dir := devtest.NodePackages(t, os.DirFS("testdata/sdk"))
	text, err := os.ReadFile("testdata/sdk/publish.mjs")
	require.NoError(t, err)
	script := exec.CommandContext(t.Context(), devtest.Program(t, "node"), "--input-type=module", "-",
		s.server.URL+"/v1/schools/north/events", token(t, "north", "sis", "events:write"))
	script.Dir, script.Stdin = dir, strings.NewReader(string(text))
	out, err := script.CombinedOutput()
	require.NoError(t, err, "%s", out)
	requireMarks(t, s, "/sis/js", "Élodie", 8)
}
