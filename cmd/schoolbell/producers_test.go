package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/devstack/realkafka"
)

// clients runs programs of producers against a real Kafka.
type clients struct {
	broker       *realkafka.Broker
	node, python string // where their packages are
}

func startClients(t *testing.T) *clients {
	t.Helper()
	const packages = "testdata/producers"
	return &clients{
		broker: realkafka.Start(t),
		node:   filepath.Join(devtest.NodePackages(t, os.DirFS(packages)), "node_modules"),
		python: devtest.PythonPackages(t, packages+"/requirements.txt"),
	}
}

// run runs the text of a program and returns what it prints.
func (c *clients) run(t *testing.T, language, text string) string {
	t.Helper()
	var cmd *exec.Cmd
	switch language {
	case "sh":
		cmd = exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", text)
	case "python":
		cmd = exec.CommandContext(t.Context(), devtest.Program(t, "python3"), "-c", text)
	case "js":
		cmd = exec.CommandContext(t.Context(), devtest.Program(t, "node"), "-e", text)
	case "java":
		_, name, _ := strings.Cut(text, "public class ")
		name, _, _ = strings.Cut(name, " ")
		file := filepath.Join(t.TempDir(), name+".java")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		cmd = c.broker.Java(t.Context(), file)
	default:
		t.Fatalf("nothing runs %q", language)
	}
	cmd.Env = append(os.Environ(), "BROKERS="+strings.Join(c.broker.Addresses(), ","),
		"NODE_PATH="+c.node, "PYTHONPATH="+c.python, "KAFKAJS_NO_PARTITIONER_WARNING=1")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, io.MultiWriter(&errs, t.Output())
	require.NoError(t, cmd.Run(), "%s: %s", language, errs.String())
	return out.String()
}

// serve is the program on the clients' Kafka.
func (c *clients) serve(t *testing.T) *app {
	t.Helper()
	return startApp(t, func(cfg *config.Config) {
		cfg.Kafka.Brokers = c.broker.Addresses()
		cfg.Redis.URL = devtest.Redis(t).URL()
	})
}

// Each example of docs/PRODUCERS.md that can be run is run as it is printed, and its mark is in the
// tables.
func TestTheExamplesForProducersWork(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "java", "javac", "node", "npm", "python3", "kcat")
	c := startClients(t)
	a := c.serve(t)
	ran := map[string]bool{}
	for _, b := range blocks(t, "../../docs/PRODUCERS.md") {
		if strings.Contains(b.text, "ce_specversion") || strings.Contains(b.text, "specversion:") {
			if b.info == "go" || b.info == "python fragment" {
				continue
			}
			c.run(t, b.info, b.text)
			ran[b.info] = true
		}
	}
	require.Equal(t, map[string]bool{"sh": true, "python": true, "js": true, "java": true}, ran)
	var got attendanceBody
	require.Eventually(t, func() bool {
		a.get(t, "/v1/schools/north/analytics/attendance?from=2026-09-08&to=2026-09-08", "", &got)
		return got.Totals.Present >= 4
	}, time.Minute, 50*time.Millisecond)
	require.ElementsMatch(t, []string{"kcat-1", "python-1", "node-1", "java-1"}, a.eventIDs(t, "north"))
}

// Whatever a client does by default or on request, in whatever partition of the inbox its records
// lie: what was committed is in the log, each event once and in its school's partition, and nothing
// else is.
func TestP9_EveryClientAndPartitionerOnRealKafka(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "java", "javac", "node", "npm", "python3", "kcat")
	c := startClients(t)
	a := c.serve(t)
	want := map[string][]string{}
	expect := func(printed string) {
		for line := range strings.Lines(printed) {
			school, id, ok := strings.Cut(strings.TrimSpace(line), " ")
			require.True(t, ok, line)
			want[school] = append(want[school], id)
		}
	}
	for language, file := range map[string]string{
		"python": "produce.py", "js": "produce.js", "java": "Produce.java",
	} {
		text, err := os.ReadFile("testdata/producers/" + file)
		require.NoError(t, err)
		expect(c.run(t, language, string(text)))
	}
	for _, partitioner := range []string{"random", "consistent", "murmur2", "fnv1a"} {
		expect(c.run(t, "sh", fmt.Sprintf(`
			for school in kn kjs kw ktx; do
				echo '{"student_id":"kcat-%[1]s","class_id":"7a","date":"2026-09-08","session":"day","status":"present"}' |
					kcat -P -b $BROKERS -t schoolbell.inbox -k $school -X topic.partitioner=%[1]s \
						-H ce_specversion=1.0 -H ce_id=kcat-%[1]s -H ce_source=/sis/kcat \
						-H ce_type=schoolbell.attendance.marked.v1
				echo $school kcat-%[1]s
			done`, partitioner)))
	}
	require.Len(t, want, 4)
	require.Eventually(t, func() bool { // Kafka aborts open transactions within seconds
		for school, ids := range want {
			if len(a.eventIDs(t, school)) < len(ids) {
				return false
			}
		}
		return true
	}, 2*time.Minute, 200*time.Millisecond)
	for school, ids := range want {
		require.ElementsMatch(t, ids, a.eventIDs(t, school), school)
		var got attendanceBody // each event is about a student of its own
		require.Eventually(t, func() bool {
			a.get(t, "/v1/schools/"+school+"/analytics/attendance?from=2026-09-08&to=2026-09-08", "", &got)
			return got.Totals.Present >= len(ids)
		}, time.Minute, 50*time.Millisecond)
		require.Equal(t, len(ids), got.Totals.Present, "each counts once")
	}
	conn, err := pgx.Connect(t.Context(), a.Database)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	refused, err := deadletter.List(t.Context(), conn, deadletter.Filter{})
	require.NoError(t, err)
	require.Empty(t, refused)
}

// eventIDs reads the log of a school to its end, and returns each id once, as readers of the log drop
// repetitions. It fails when an event is not in the school's partition.
func (a *app) eventIDs(t *testing.T, school string) (ids []string) {
	t.Helper()
	seen := map[string]bool{}
	for after := ""; ; {
		resp, b := a.call(t, http.MethodGet,
			a.HTTP+"/v1/schools/"+school+"/events?limit=1000&after="+after, "")
		require.Equal(t, http.StatusOK, resp.StatusCode, "%s", b)
		var page struct {
			Next   string `json:"next"`
			Events []struct {
				ID       string             `json:"id"`
				Position domain.LogPosition `json:"position"`
			} `json:"events"`
		}
		require.NoError(t, json.Unmarshal(b, &page))
		if len(page.Events) == 0 {
			return slices.Clip(ids)
		}
		for _, e := range page.Events {
			require.Equal(t, eventlog.PartitionFor(school, 4), e.Position.Partition)
			if !seen[e.ID] {
				seen[e.ID] = true
				ids = append(ids, e.ID)
			}
		}
		after = page.Next
	}
}
