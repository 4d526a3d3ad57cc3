package main

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/redis"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

type attendanceBody struct {
	Totals struct {
		Present         int `json:"present"`
		AbsentExcused   int `json:"absent_excused"`
		AbsentUnexcused int `json:"absent_unexcused"`
	} `json:"totals"`
	Rate float64 `json:"rate"`
}

const attendancePath = "/v1/schools/north/analytics/attendance?from=2026-09-07&to=2026-09-07"

// Where there is no terminal, what serve prints becomes the log of a service.
func TestTheBannerShowsATokenToATerminalOnly(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	c := serveCommand{Config: *defaultConfig(t)}
	c.Data = t.TempDir()
	require.NoError(t, c.greet(t.Context(), &out, testLog(t),
		program.Address{HTTP: "http://127.0.0.1:1", School: "my-school"}))
	require.Contains(t, out.String(), "my-school")
	require.Contains(t, out.String(), "schoolbell env --data="+c.Data)
	require.NotContains(t, out.String(), "eyJ")
}

// Other users of the machine reach the ports of the embedded servers, but not what is in serve.json.
func TestP10_EmbeddedServersAreForTheUserOfTheDataDirectory(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	data := t.TempDir()
	require.NoError(t, a.Write(data))
	info, err := os.Stat(filepath.Join(data, "serve.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	mine, err := a.Kafka(config.Kafka{}).Config()
	require.NoError(t, err)
	mine.Partitions = 0
	log, err := kafka.Open(t.Context(), mine, testLog(t), nil)
	require.NoError(t, err)
	require.NoError(t, log.Close())
	mine.SASL = nil
	_, err = kafka.Open(t.Context(), mine, testLog(t), nil)
	require.Error(t, err)

	for at, works := range map[string]bool{
		a.Redis: true, regexp.MustCompile(`//.*@`).ReplaceAllString(a.Redis, "//"): false,
	} {
		cache, err := redis.Open(redis.Config{URL: at, Timeout: 5 * time.Second}, nil)
		require.NoError(t, err)
		require.Equal(t, works, cache.Ping(t.Context()) == nil)
		require.NoError(t, cache.Close())
	}
}

func TestPublishedEventsAreInTheResponse(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	at := a.publish(
		t, "north", enrolled("north", 1), enrolled("north", 2), marked("north", 1, "present"),
		marked("north", 2, "absent_unexcused"),
	)

	var got attendanceBody
	resp := a.get(t, attendancePath, at, &got)
	require.Equal(t, 1, got.Totals.Present)
	require.Equal(t, 1, got.Totals.AbsentUnexcused)
	require.InDelta(t, 0.5, got.Rate, 1e-9)
	require.Equal(t, at, resp.Header.Get("Schoolbell-Position"))

	again := a.get(t, attendancePath, at, &got)
	require.Equal(t, "hit", again.Header.Get("X-Cache"))
	notModified, _ := a.call(
		t, http.MethodGet, a.HTTP+attendancePath, "", "If-None-Match", resp.Header.Get("ETag"),
	)
	require.Equal(t, http.StatusNotModified, notModified.StatusCode)

	dir := filepath.Join(t.TempDir(), "north")
	export := []string{
		"export", dir, "--school=north", "--position=" + at, "--url=" + a.HTTP, "--token=" + a.token,
	}
	code, stdout, stderr := command(t, export...)
	require.Equal(t, exitDone, code, stderr)
	require.Regexp(t, `students\.csv +2 +`+at, stdout)
	list, err := os.ReadFile(filepath.Join(dir, "students.csv"))
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(string(list), "\r\n"), "a header and two students")
	contents, err := os.ReadFile(filepath.Join(dir, "export.json"))
	require.NoError(t, err)
	require.Contains(t, string(contents), fmt.Sprintf("%x", sha256.Sum256(list)))
	code, _, stderr = command(t, export...)
	require.Equal(t, exitFailed, code, "it writes over nothing")
	require.Contains(t, stderr, "is not empty")

	a.publish(t, "north", event("north", "i-1", "schoolbell.fee.invoiced.v1", "s-1", map[string]any{
		"invoice_id": "i-1", "student_id": "s-1", "year": "2026", "term": "1", "category": "bus",
		"amount": 1250, "currency": "EUR", "due_on": "2026-09-30",
	}))
	remote := []string{"--school=north", "--url=" + a.HTTP, "--token=" + a.token}
	require.Eventually(t, func() bool { // the tables follow the log
		code, stdout, stderr = command(t, append([]string{
			"explain", "--query=fees",
			"--field=/totals/0/outstanding",
		}, remote...)...)
		return code == exitDone
	}, 10*time.Second, 10*time.Millisecond)
	require.Contains(t, stdout, "is 1250 on")
	require.Regexp(t, `schoolbell\.fee\.invoiced\.v1 +s-1 +1250`, stdout)
	code, stdout, stderr = command(t, append([]string{"verify", "--numbers"}, remote...)...)
	require.Equal(t, exitDone, code, stderr)
	require.Regexp(t, `north: \d\d+ values of 2 responses compared at .*: all as calculated`, stdout)
	code, _, _ = command(t, "verify", "--numbers", "--url="+a.HTTP, "--token="+a.token)
	require.Equal(t, exitUsage, code, "of which school?")
}

// When Kafka is away, all processes lose it together: a balancer takes those out of service that can
// only accept events, and leaves those that serve dashboards.
func TestDashboardsAreServedWithoutKafka(t *testing.T) {
	t.Parallel()
	kafka, cache, database := devtest.Kafka(t), devtest.Redis(t), devtest.Postgres(t)
	start := func(roles ...config.Role) *app {
		return startApp(t, func(c *config.Config) {
			c.Roles, c.Kafka.Brokers, c.Redis.URL = roles, kafka.Brokers(), cache.URL()
			c.Database.URL = database
		})
	}
	ingest, api := start(config.RoleIngest, config.RoleProjections), start(config.RoleAPI)
	at := ingest.publish(t, "north", enrolled("north", 1), marked("north", 1, "present"))
	var got attendanceBody
	api.get(t, attendancePath, at, &got)
	readyz := func(a *app) int {
		resp, _ := a.call(t, http.MethodGet, a.Ops+"/readyz", "")
		return resp.StatusCode
	}
	kafka.Stop()
	require.Eventually(t, func() bool { return readyz(ingest) == http.StatusServiceUnavailable },
		20*time.Second, 50*time.Millisecond)
	require.Equal(t, http.StatusOK, readyz(api))
	require.Equal(t, "hit", api.get(t, attendancePath, at, &got).Header.Get("X-Cache"))
	cache.Stop()
	api.get(t, attendancePath, at, &got)
	require.Equal(t, 1, got.Totals.Present)
	require.Equal(t, http.StatusOK, readyz(api), "without Redis as well")
}

// TestRolesShareTheWork runs each role in a program of its own, on the same servers.
func TestRolesShareTheWork(t *testing.T) {
	t.Parallel()
	brokers, cache, database := devtest.Kafka(t).
		Brokers(),
		devtest.Redis(t).
			URL(),
		devtest.Postgres(t)
	start := func(role config.Role) *app {
		return startApp(t, func(c *config.Config) {
			c.Roles, c.Kafka.Brokers, c.Redis.URL, c.Database.URL = []config.Role{
				role,
			}, brokers, cache, database
		})
	}
	ingest, projections, api := start(config.RoleIngest), start(
		config.RoleProjections,
	), start(config.RoleAPI)

	at := ingest.publish(t, "north", enrolled("north", 1), marked("north", 1, "present"))
	var got attendanceBody
	api.get(t, attendancePath, at, &got)
	require.Equal(t, 1, got.Totals.Present)

	for _, refused := range []struct {
		app  *app
		path string
	}{{ingest, attendancePath}, {projections, attendancePath}, {api, "/v1/schools/north/events"}, {projections, "/v1/schools/north/events"}} {
		resp, _ := refused.app.call(t, http.MethodGet, refused.app.HTTP+refused.path, "")
		require.Equal(t, http.StatusNotFound, resp.StatusCode, refused.path)
	}
}

func TestReadyzNamesTheServerThatIsGone(t *testing.T) {
	t.Parallel()
	kafka := devtest.Kafka(t)
	cache := devtest.Redis(t)
	a := startApp(
		t, func(c *config.Config) { c.Kafka.Brokers, c.Redis.URL = kafka.Brokers(), cache.URL() },
	)
	report := func() (int, telemetry.Report) {
		resp, b := a.call(t, http.MethodGet, a.Ops+"/readyz", "")
		var r telemetry.Report
		require.NoError(t, json.Unmarshal(b, &r))
		return resp.StatusCode, r
	}
	status, r := report()
	require.Equal(t, http.StatusOK, status, "%v", r)
	// The ledger is compared with the log before anything is sent.
	require.Eventually(t, func() bool { status, r = report(); return r.Status == "ready" },
		20*time.Second, 20*time.Millisecond, "%v", r)

	cache.Stop()
	require.Eventually(
		t, func() bool { status, r = report(); return r.Status == "degraded" }, 20*time.Second,
		50*time.Millisecond, "%v", r,
	)
	require.Equal(t, http.StatusOK, status, "reads are served from the tables")
	require.NotEqual(t, "ok", r.Checks["cache"])

	kafka.Stop()
	require.Eventually(
		t, func() bool { status, r = report(); return r.Checks["log"] != "ok" },
		20*time.Second, 50*time.Millisecond, "%v", r,
	)
	require.Equal(t, http.StatusOK, status, "dashboards are served from the tables")
	require.Equal(t, "degraded", r.Status)
	require.Equal(t, "ok", r.Checks["tables"])
}

func TestPrometheusLikesTheMetrics(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "promtool")
	promtool := devtest.Program(t, "promtool")
	a := startApp(t, nil)
	at := a.publish(t, "north", enrolled("north", 1), marked("north", 1, "present"))
	a.get(t, attendancePath, at, &attendanceBody{})
	_, metrics := a.call(t, http.MethodGet, a.Ops+"/metrics", "")

	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = strings.NewReader(string(metrics))
	out, err := check.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))
	require.Contains(t, string(metrics), "schoolbell_build_info")
	require.Contains(t, string(metrics), "go_goroutines")
	for _, file := range []string{"docs/OPERATIONS.md", "deploy/grafana/dashboards/schoolbell.json", "deploy/prometheus/alerts.yml"} {
		text, err := os.ReadFile("../../" + file)
		require.NoError(t, err)
		for _, name := range metricName.FindAllString(string(text), -1) {
			require.True(
				t, strings.Contains(string(metrics), "\n"+name), "%s speaks of %s", file, name,
			)
		}
	}
}

// Those of live connections and of jobs that begin with the first client and the first message
// are left out.
var metricName = regexp.MustCompile(
	`\bschoolbell_((projection|http|ingest|cache|log|imports?)_[a-z_]+|jobs_outbox|plan_(events|faults)_total)\b`,
)

func TestPrometheusTakesTheAlerts(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "promtool")
	out, err := exec.CommandContext(t.Context(), devtest.Program(t, "promtool"), "test", "rules", "../../deploy/prometheus/alerts_test.yml").
		CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestPrometheusScrapes(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "prometheus")
	prometheus := devtest.Program(t, "prometheus")
	a := startApp(t, nil)
	target, err := url.Parse(a.Ops)
	require.NoError(t, err)
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	require.NoError(
		t,
		os.WriteFile(
			file,
			[]byte(
				"global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: schoolbell\n  static_configs: [{targets: ['"+target.Host+"']}]\n",
			),
			0o600,
		),
	)
	port := freeAddress(t)
	cmd := exec.CommandContext(t.Context(), prometheus, "--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+port)
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()

	require.Eventually(t, func() bool {
		r, err := http.NewRequestWithContext(
			t.Context(),
			http.MethodGet,
			"http://"+port+"/api/v1/query?query=schoolbell_build_info",
			nil,
		)
		require.NoError(t, err)
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(r)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var got struct {
			Data struct {
				Result []any `json:"result"`
			} `json:"data"`
		}
		return json.UnmarshalRead(resp.Body, &got) == nil && len(got.Data.Result) == 1
	}, 30*time.Second, 100*time.Millisecond)
}

func testLog(t *testing.T) *slog.Logger {
	return telemetry.NewLogger(t.Output(), telemetry.LogConfig{Level: slog.LevelWarn})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}
