package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

// TestP1_AcceptedEventsSurviveAKill kills a serve with its embedded servers while producers write
// to it, and starts it again on the same data, three times. Every event that was accepted with
// 202 must be in the log and in the tables.
func TestP1_AcceptedEventsSurviveAKill(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	accepted := map[string]bool{} // student ids
	for round := range 3 {
		serve, a := startProcess(t, dir)
		before := len(accepted)
		var mu sync.Mutex
		var producers sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		for producer := range 4 {
			producers.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					id := fmt.Sprintf("r%d-p%d-%d", round, producer, n)
					if !a.enrol(ctx, "north", id) {
						return // the process was killed
					}
					mu.Lock()
					accepted[id] = true
					mu.Unlock()
				}
			})
		}
		require.Eventually(
			t, func() bool { mu.Lock(); defer mu.Unlock(); return len(accepted) >= before+300 },
			time.Minute, time.Millisecond,
		)
		require.NoError(t, serve.Process.Kill())
		producers.Wait()
		stop()
		_ = serve.Wait()
	}

	serve, a := startProcess(t, dir)
	inLog, last := a.readStudents(t, "north")
	for id := range accepted {
		require.True(t, inLog[id], "%s was accepted and is not in the log", id)
	}
	var overview struct {
		Students struct {
			Enrolled int `json:"enrolled"`
		} `json:"students"`
	}
	a.get(t, "/v1/schools/north/analytics/overview", last, &overview)
	require.Equal(t, len(inLog), overview.Students.Enrolled)
	require.GreaterOrEqual(t, len(inLog), len(accepted))

	require.NoError(t, serve.Process.Signal(os.Interrupt))
	require.NoError(t, serve.Wait(), "a stop in good order ends with 0")
}

func TestASecondServeOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	_, a := startProcess(t, dir)
	code, _, stderr := command(t, "serve", "--data", dir, "--http=127.0.0.1:0", "--ops=127.0.0.1:0")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, fmt.Sprintf("belongs to process %d", a.PID))

	require.Eventually(t, func() bool {
		code, stdout, stderr := command(t, "status", "--data", dir, "--json")
		require.Equal(t, exitDone, code, stderr)
		var report telemetry.Report
		require.NoError(t, json.Unmarshal([]byte(stdout), &report))
		return report.Status == "ready"
	}, time.Minute, 100*time.Millisecond, "the first process goes on")
}

// startProcess starts serve as a process of its own, with further variables, and waits until it
// serves.
func startProcess(t *testing.T, dir string, variables ...string) (*exec.Cmd, *app) {
	t.Helper()
	cmd := programCommand(
		"serve", "--data", dir, "--http=127.0.0.1:0", "--ops=127.0.0.1:0", "--log-level=warn",
	)
	cmd.Env = append(cmd.Env, variables...)
	var stderr strings.Builder
	cmd.Stdout, cmd.Stderr = io.Discard, &stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		// A graceful stop waits for PostgreSQL, whose files the test is about to remove.
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})

	a := new(app)
	require.Eventually(t, func() bool {
		at, err := program.ReadAddress(dir)
		if err != nil || at.PID != cmd.Process.Pid {
			return false
		}
		a.Address = at
		return true
	}, time.Minute, 10*time.Millisecond, "serve has not started")
	tokens, err := config.JWT{}.Config(dir)
	require.NoError(t, err)
	a.token = mint(t, tokens.Secret)
	return cmd, a
}

// enrol publishes one event, and reports whether it was accepted.
func (a *app) enrol(ctx context.Context, school, student string) bool {
	e := enrolled(school, 0)
	e["id"], e["subject"] = "enrolled-"+student, student
	e["data"].(map[string]any)["student_id"] = student
	body, err := json.Marshal(e)
	if err != nil {
		return false
	}
	r, err := http.NewRequestWithContext(
		ctx, http.MethodPost, a.HTTP+"/v1/schools/"+school+"/events",
		strings.NewReader(string(body)),
	)
	if err != nil {
		return false
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	r.Header.Set("Content-Type", "application/cloudevents+json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusAccepted
}

// readStudents reads the log of a school to its end: whose enrolment is in it, and the position
// of the last.
func (a *app) readStudents(t *testing.T, school string) (students map[string]bool, last string) {
	t.Helper()
	students = map[string]bool{}
	for after := ""; ; {
		resp, b := a.call(
			t, http.MethodGet, a.HTTP+"/v1/schools/"+school+"/events?limit=1000&after="+after, "",
		)
		require.Equal(t, http.StatusOK, resp.StatusCode, "%s", b)
		var page struct {
			Next   string `json:"next"`
			Events []struct {
				Subject  string `json:"subject"`
				Position string `json:"position"`
			} `json:"events"`
		}
		require.NoError(t, json.Unmarshal(b, &page))
		if len(page.Events) == 0 {
			return students, last
		}
		for _, e := range page.Events {
			students[e.Subject] = true
			last = e.Position
		}
		after = page.Next
	}
}
