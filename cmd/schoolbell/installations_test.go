package main

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/devstack/realkafka"
)

// Staging and production often share a Kafka cluster and a Redis. Only topic and database differ.
func TestTwoInstallationsShareKafkaAndRedis(t *testing.T) {
	t.Parallel()
	twoInstallations(t, devtest.Kafka(t).Brokers(), devtest.Redis(t).URL())
}

func TestTwoInstallationsShareRealKafkaAndRedis(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "java", "redis-server")
	twoInstallations(t, realkafka.Start(t).Addresses(), "redis://"+devtest.RedisServer(t))
}

func twoInstallations(t *testing.T, brokers []string, redis string) {
	t.Helper()
	start := func(topic string) *app {
		return startApp(t, func(c *config.Config) {
			c.Kafka.Brokers, c.Kafka.Topic, c.Redis.URL = brokers, topic, redis
		})
	}
	first, second := start("production.events"), start("staging.events")
	var got attendanceBody
	at := first.publish(t, "north", enrolled("north", 1), marked("north", 1, "present"),
		enrolled("north", 2), marked("north", 2, "present"))
	first.get(t, attendancePath, at, &got)
	require.Equal(t, 2, got.Totals.Present)
	require.Equal(t, "hit", first.get(t, attendancePath, at, &got).Header.Get("X-Cache"))

	resp := second.get(t, attendancePath, "", &got)
	require.Equal(t, "miss", resp.Header.Get("X-Cache"), "the first one's responses are not its own")
	require.Zero(t, got.Totals.Present)
	at = second.publish(t, "north", enrolled("north", 1), marked("north", 1, "absent_unexcused"))
	second.get(t, attendancePath, at, &got)
	require.Zero(t, got.Totals.Present)
	require.Equal(t, 1, got.Totals.AbsentUnexcused, "its events are folded, beside the first one's")

	at = first.publish(t, "north", enrolled("north", 3), marked("north", 3, "present"))
	first.get(t, attendancePath, at, &got)
	require.Equal(t, 3, got.Totals.Present)
}

// The commands of an operator act on the serve whose data directory they are given, whatever its
// topic and its prefix in Redis are.
func TestCommandsActOnTheServeThatTheyBelongTo(t *testing.T) {
	t.Parallel()
	a := startApp(t, func(c *config.Config) {
		c.Kafka.Topic, c.Redis.Prefix = "four.events", "four"
	})
	data := t.TempDir()
	require.NoError(t, a.Write(data))
	var got attendanceBody
	at := a.publish(t, "north", enrolled("north", 1), marked("north", 1, "present"))
	a.get(t, attendancePath, at, &got)

	damage := func() {
		conn, err := pgx.Connect(t.Context(), a.Database)
		require.NoError(t, err)
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), "SET ROLE schoolbell_projector; UPDATE schoolbell.attendance_days SET present = 99")
		require.NoError(t, err)
	}
	damage()
	code, out, stderr := command(t, "cache", "invalidate", "--school", "north", "--data", data)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, out, "1 response")
	a.get(t, attendancePath, at, &got)
	require.Equal(t, 99, got.Totals.Present, "the cached response is gone")

	code, out, _ = command(t, "verify", "attendance", "--data", data)
	require.Equal(t, exitFailed, code, "it reads the topic of the serve: %s", out)
	code, _, stderr = command(t, "rebuild", "--data", data)
	require.Equal(t, exitDone, code, stderr)
	a.get(t, attendancePath, at, &got)
	require.Equal(t, 1, got.Totals.Present, "the rebuild has told the cache of the serve")
	code, _, stderr = command(t, "jobs", "verify", "--data", data)
	require.Equal(t, exitDone, code, stderr)

	code, _, stderr = command(t, "rebuild", "--data", data, "--kafka-topic", "five.events")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "four.events", "it contradicts the data directory")
}
