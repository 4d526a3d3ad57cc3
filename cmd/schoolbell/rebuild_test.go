package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// shadowArgs names the servers of a running program.
func (a *app) shadowArgs(args ...string) []string {
	return append(kafkaArgs(a, args...), "--database-url", a.Database, "--redis-url", a.Redis)
}

// kafkaArgs names the Kafka of a running program, and how to sign in to it.
func kafkaArgs(a *app, args ...string) []string {
	args = append(args, "--kafka-brokers", strings.Join(a.Brokers, ","))
	if a.SASL == nil {
		return args
	}
	return append(args, "--kafka-sasl-mechanism", a.SASL.Mechanism,
		"--kafka-sasl-username", a.SASL.Username, "--kafka-sasl-password", a.SASL.Password)
}

func (a *app) exec(t *testing.T, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), a.Database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "SET ROLE schoolbell_projector; "+sql)
	require.NoError(t, err)
}

type attendanceTotals struct {
	Totals struct {
		Present int `json:"present"`
	} `json:"totals"`
}

// Damage in the tables is found and repaired, and leaves no cached response, while everything else
// continues.
func TestP8_OperatorsVerifyAndRebuild(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	var events []map[string]any
	for n := range 40 {
		events = append(events, enrolled("north", n), marked("north", n, "present"))
	}
	position := a.publish(t, "north", events...)
	a.publish(t, "south", rebuildEvents("south")...)
	const path = "/v1/schools/north/analytics/attendance?from=2026-09-01"
	var got attendanceTotals
	a.get(t, path, position, &got)
	require.Equal(t, 40, got.Totals.Present)
	code, out, stderr := command(t, a.shadowArgs("verify")...)
	require.Equal(t, exitDone, code, out+stderr)
	require.Contains(t, out, "all as in the log")

	a.exec(t, `UPDATE schoolbell.attendance_days SET present = present + 5 WHERE school = 'north'`)
	require.Eventually(t, func() bool { // until a cached response shows the damage
		_, _, _ = command(t, "cache", "invalidate", "--school", "north", "--redis-url", a.Redis)
		a.get(t, path, position, &got)
		return got.Totals.Present != 40 &&
			a.get(t, path, position, &got).Header.Get("X-Cache") == "hit"
	}, 20*time.Second, 20*time.Millisecond)
	code, out, _ = command(t, a.shadowArgs("verify", "attendance", "--json")...)
	require.Equal(t, exitFailed, code, out)
	require.Contains(t, out, `"column": "present"`)

	updates := a.dashboard(t, "north", "attendance")
	code, out, stderr = command(t, a.shadowArgs("rebuild", "attendance", "fees", "--json")...)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(
		t,
		updates(),
		`"projection":"attendance"`,
		"no event has happened, but the rows have changed",
	)
	var done struct {
		Projections []string `json:"projections"`
		Pause       float64  `json:"pause_ms"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &done))
	require.Equal(t, []string{"attendance", "fees", "at_risk", "timeline"}, done.Projections,
		"with those that read them")
	require.Positive(t, done.Pause)
	got = attendanceTotals{}
	a.get(t, path, position, &got)
	require.Equal(t, 40, got.Totals.Present,
		"the cached response is outdated, although the position is the same")

	position = a.publish(t, "north", enrolled("north", 99), marked("north", 99, "present"))
	a.get(t, path, position, &got)
	require.Equal(t, 41, got.Totals.Present, "the partition workers continue")
	code, out, stderr = command(t, a.shadowArgs("rebuild", "--school", "south")...)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, out, "Writes to the live tables were blocked for")
	code, out, stderr = command(t, a.shadowArgs("verify")...)
	require.Equal(t, exitDone, code, out+stderr)

	code, out, stderr = command(
		t,
		a.shadowArgs("rebuild", "students", "--until", "2001-01-01T00:00:00Z")...)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, out, "schoolbell_until_20010101t000000z")
	code, _, stderr = command(t, a.shadowArgs("rebuild", "nothing")...)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, `no projection "nothing"`)
}

// After rebuilds, also several in a row without an event between them, results are cached at once, and
// no worker takes another process for the cause.
func TestP8_ARebuildCostsReadersOneMiss(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	position := a.publish(t, "north", enrolled("north", 1), marked("north", 1, "present"))
	var got attendanceBody
	for range 3 {
		a.get(t, attendancePath, position, &got)
		code, _, stderr := command(t, a.shadowArgs("rebuild")...)
		require.Equal(t, exitDone, code, stderr)
		outcomes := map[string]int{}
		for range 10 {
			outcomes[a.get(t, attendancePath, position, &got).Header.Get("X-Cache")]++
		}
		require.Equal(t, map[string]int{"miss": 1, "hit": 9}, outcomes)
	}
	for range 2 {
		code, _, stderr := command(t, a.shadowArgs("rebuild")...)
		require.Equal(t, exitDone, code, stderr)
	}
	position = a.publish(t, "north", enrolled("north", 2), marked("north", 2, "present"))
	a.get(t, attendancePath, position, &got)
	require.Equal(t, 2, got.Totals.Present)
	_, metrics := a.call(t, http.MethodGet, a.Ops+"/metrics", "")
	require.Contains(t, string(metrics), `schoolbell_projection_fenced_total{set="analytics"} 0`,
		"which a worker waits 10 s after")
}

// dashboard joins a dashboard's room. The function it returns waits for the next notice.
func (a *app) dashboard(t *testing.T, school, projection string) func() string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		a.HTTP+"/v1/schools/"+school+"/stream?rooms=dashboard:"+projection, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+bearer(t, school, "boss", "admin", time.Hour))
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	require.Equal(t, http.StatusOK, resp.StatusCode)
	lines := bufio.NewScanner(resp.Body)
	next := func(event string) string {
		for lines.Scan() {
			if lines.Text() == "event: "+event && lines.Scan() {
				return lines.Text()
			}
		}
		require.FailNow(t, "the stream has ended", "%v", lines.Err())
		return ""
	}
	next("open")
	return func() string { return next("update") }
}

func rebuildEvents(school string) []map[string]any {
	return []map[string]any{enrolled(school, 1), marked(school, 1, "late")}
}

// A program whose folds are newer than the tables rebuilds them by itself, and then continues.
// Reads wait for that, however long it takes on this machine.
func TestP8_ANewerVersionRebuildsByItself(t *testing.T) {
	t.Parallel()
	broker := devtest.Kafka(t)
	database := devtest.Postgres(t)
	servers := func(c *config.Config) { c.Kafka.Brokers, c.Database.URL = broker.Brokers(), database }
	var position string
	t.Run("before", func(t *testing.T) {
		a := startApp(t, servers)
		position = a.publish(t, "north", enrolled("north", 1), marked("north", 1, "present"))
		var got attendanceTotals
		a.get(t, "/v1/schools/north/analytics/attendance?from=2026-09-01", position, &got)
		a.exec(t, `UPDATE schoolbell.fold_versions SET version = 0 WHERE projection = 'attendance';
			UPDATE schoolbell.attendance_days SET present = 7`)
	})
	a := startApp(t, servers)
	position = a.publish(t, "north", enrolled("north", 2), marked("north", 2, "present"))
	var got attendanceTotals
	resp := a.get(t, "/v1/schools/north/analytics/attendance?from=2026-09-01", position, &got)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, 2, got.Totals.Present, fmt.Sprint(got))
}
