package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

func TestP9_OperatorsSkipAParkedEvent(t *testing.T) {
	t.Parallel()
	broker := devtest.Kafka(t)
	a := startApp(t, func(c *config.Config) { c.Kafka.Brokers = broker.Brokers() })
	appendNewer(t, broker, "north", 1)
	later := event("north", "later", "schoolbell.attendance.marked.v1", "newer-0", map[string]any{
		"student_id": "newer-0", "class_id": "7a", "date": "2026-09-07", "session": "day",
		"status": "present",
	})
	at := a.publish(t, "north", later)
	const path = "/v1/schools/north/analytics/attendance?from=2026-09-01"
	resp := a.get(t, path, at, new(map[string]any))
	require.Equal(t, "1", resp.Header.Get("Schoolbell-Parked"))

	unplanned := func() string {
		code, list, stderr := command(t,
			append([]string{"deadletters", "list", "--kind", "plan"}, a.remote()...)...)
		require.Equal(t, exitDone, code, stderr)
		return list
	}
	require.Eventually(t, func() bool { return strings.Contains(unplanned(), "newer-0") },
		20*time.Second, 20*time.Millisecond)

	skip := append([]string{"parked", "skip", "north", "newer-0", "--reason", "a test"}, a.remote()...)
	code, _, stderr := command(t, append(skip, "--position", at)...)
	require.Equal(t, exitFailed, code, "the second event is not the first")
	require.Contains(t, stderr, "first parked one")
	code, stdout, stderr := command(t, skip...)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "is skipped, as the log says at")
	require.Eventually(t, func() bool {
		resp = a.get(t, path, at, new(map[string]any))
		return resp.Header.Get("Schoolbell-Parked") == "0"
	}, 20*time.Second, 20*time.Millisecond, "the later event is folded, and cached responses end")
	resp = a.get(t, path, at, new(map[string]any))
	require.Equal(t, "hit", resp.Header.Get("X-Cache"), "at once, without another event")
	require.Equal(t, "0", resp.Header.Get("Schoolbell-Parked"))
	require.Eventually(t, func() bool { return !strings.Contains(unplanned(), "newer-0") },
		20*time.Second, 20*time.Millisecond, "nobody can plan it any more")
	var got struct {
		Totals map[string]int `json:"totals"`
	}
	a.get(t, path, at, &got)
	require.Equal(t, 1, got.Totals["present"])
	code, _, stderr = command(t, skip...)
	require.Equal(t, exitFailed, code, "nothing is parked any more")
	require.Contains(t, stderr, "409")
	for _, args := range [][]string{{"verify"}, {"rebuild"}, {"verify"}} {
		args = append(a.withLog(args...), "--database-url", a.Database)
		code, stdout, stderr := command(t, args...)
		require.Equal(t, exitDone, code, "%v: %s%s", args, stdout, stderr)
	}
}

// Operators skip events in processes that take none, and the log says who they were all the same.
func TestASkipSaysWhoDecidedIt(t *testing.T) {
	t.Parallel()
	kafka, cache, database := devtest.Kafka(t), devtest.Redis(t), devtest.Postgres(t)
	start := func(roles ...config.Role) *app {
		return startApp(t, func(c *config.Config) {
			c.Roles, c.Kafka.Brokers, c.Redis.URL = roles, kafka.Brokers(), cache.URL()
			c.Database.URL = database
		})
	}
	ingest, api := start(config.RoleIngest, config.RoleProjections), start(config.RoleAPI)
	appendNewer(t, kafka, "north", 1)
	at := ingest.publish(t, "north", enrolled("north", 1))
	api.get(t, attendancePath, at, new(map[string]any))
	code, _, stderr := command(t, append(
		[]string{"parked", "skip", "north", "newer-0", "--reason", "a test"}, api.remote()...)...)
	require.Equal(t, exitDone, code, stderr)
	_, events := ingest.call(t, http.MethodGet, ingest.HTTP+"/v1/schools/north/events", "")
	decided := slices.ContainsFunc(strings.Split(string(events), "\n"), func(line string) bool {
		return strings.Contains(line, "schoolbell/operators") &&
			strings.Contains(line, `"authsub":"token:`)
	})
	require.True(t, decided, "%s", events)
}
