package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/devstack/realkafka"
)

// A balancer that polls /readyz takes out of service what cannot do its work, and nothing else:
// dashboards are served while Kafka is away, also by a process that only starts then; writing to the
// tables continues soon after PostgreSQL can be written again, and reading never stops; without Redis
// dashboards are read from the tables.
func TestDashboardsBehindABalancer(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "java", "haproxy", "redis-server")
	kafka, cache, database := realkafka.Start(t), devtest.Redis(t), devtest.Postgres(t)
	configure := func(roles ...config.Role) *config.Config {
		c := defaultConfig(t)
		host := freeHost()
		c.HTTP, c.Ops = host+":8080", host+":9090"
		c.Roles, c.Kafka.Brokers, c.Redis.URL = roles, kafka.Addresses(), cache.URL()
		c.Database.URL, c.JWT.Secret = database, testSecret
		return c
	}
	start := func(c *config.Config) *app {
		return startApp(t, func(into *config.Config) {
			c.Data = into.Data
			*into = *c
		})
	}
	intake, api, late := configure(config.RoleIngest, config.RoleProjections),
		configure(config.RoleAPI), configure(config.RoleAPI)
	start(intake)
	start(api)
	hosts := func(api *config.Config) fleet {
		in, of := hostOf(intake.HTTP), hostOf(api.HTTP)
		return fleet{"INTAKE": {in, in}, "API": {of, of}, "REALTIME": {in, in}}
	}
	public := &app{token: mint(t, testSecret)}
	public.HTTP = startHAProxy(t, hosts(api))
	var got attendanceBody
	require.Eventually(t, func() bool { return public.status(t, http.MethodGet) == http.StatusOK },
		30*time.Second, 50*time.Millisecond)
	at := public.publish(t, "north", enrolled("north", 1), marked("north", 1, "present"))
	public.get(t, attendancePath, at, &got)

	kafka.Kill()
	require.Eventually(t, func() bool { // HAProxy's own response has no content of ours
		return public.status(t, http.MethodPost) == http.StatusServiceUnavailable &&
			readyz(t, "http://"+intake.Ops) == http.StatusServiceUnavailable
	}, 30*time.Second, 50*time.Millisecond)
	second := start(late)
	newcomer := &app{token: public.token}
	newcomer.HTTP = startHAProxy(t, hosts(late))
	require.Eventually(t, func() bool { return newcomer.status(t, http.MethodGet) == http.StatusOK },
		30*time.Second, 50*time.Millisecond, "a process that starts without Kafka comes into service")
	for range 20 {
		require.Equal(t, http.StatusOK, public.status(t, http.MethodGet))
		require.Equal(t, http.StatusOK, newcomer.status(t, http.MethodGet))
	}
	second.get(t, attendancePath, at, &got)
	require.Equal(t, 1, got.Totals.Present)
	kafka.Restart(t)
	require.Eventually(t, func() bool { return public.status(t, http.MethodPost) == http.StatusAccepted },
		time.Minute, 50*time.Millisecond)

	// The server ends all sessions when it turns read-only, as in a failover.
	admin := adminOf(t, database)
	admin(`ALTER DATABASE %s SET default_transaction_read_only = on`)
	admin(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s' AND pid <> pg_backend_pid()`)
	at = public.publish(t, "north", enrolled("north", 2), marked("north", 2, "present"))
	require.Eventually(t, func() bool {
		_, state := public.call(t, http.MethodGet, "http://"+intake.Ops+"/readyz", "")
		return strings.Contains(string(state), "25006")
	}, 30*time.Second, 20*time.Millisecond, "projections fail")
	require.Equal(t, http.StatusOK, public.status(t, http.MethodGet), "reading works throughout")
	admin(`ALTER DATABASE %s RESET default_transaction_read_only`)
	healed := time.Now()
	public.get(t, attendancePath, at, &got)
	require.Equal(t, 2, got.Totals.Present)
	t.Logf("visible %v after PostgreSQL could be written again", time.Since(healed).Round(time.Millisecond))

	cache.Stop()
	at = public.publish(t, "north", enrolled("north", 3), marked("north", 3, "present"))
	public.get(t, attendancePath, at, &got)
	require.Equal(t, 3, got.Totals.Present)
	for range 20 {
		require.Equal(t, http.StatusOK, public.status(t, http.MethodGet))
	}
}

// status is that of a request for a dashboard, or with an event of a school of its own.
func (a *app) status(t *testing.T, method string) int {
	t.Helper()
	path, body := attendancePath, ""
	if method == http.MethodPost {
		path = "/v1/schools/south/events"
		body = `{"specversion":"1.0","id":"1","source":"test","type":"schoolbell.attendance.marked.v1",
			"time":"2026-09-07T08:00:00Z","data":{"student_id":"s1","class_id":"7a","date":"2026-09-07",
			"session":"day","status":"present"}}`
	}
	resp, _ := a.call(t, method, a.HTTP+path, body, "Content-Type", "application/cloudevents+json")
	return resp.StatusCode
}

func readyz(t *testing.T, ops string) int {
	t.Helper()
	resp, _ := (&app{}).call(t, http.MethodGet, ops+"/readyz", "")
	return resp.StatusCode
}

// adminOf runs statements that name a database, in a session that may always write.
func adminOf(t *testing.T, url string) func(sql string) {
	t.Helper()
	c, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	c.RuntimeParams["default_transaction_read_only"] = "off"
	name := c.Database
	return func(sql string) {
		t.Helper()
		conn, err := pgx.ConnectConfig(t.Context(), c)
		require.NoError(t, err)
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), fmt.Sprintf(sql, name))
		require.NoError(t, err)
	}
}
