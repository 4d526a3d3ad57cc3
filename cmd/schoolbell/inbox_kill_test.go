package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// Processes that read an inbox are killed with -9 under load: those that have only the role ingest,
// and whole ones. Each record that Kafka accepted is an event that counts once.
func TestP3_AnInboxOutlivesKilledProcesses(t *testing.T) {
	t.Parallel()
	for _, roles := range []string{"ingest", "all"} {
		t.Run(roles, func(t *testing.T) {
			t.Parallel()
			killInboxReaders(t, roles, 4)
		})
	}
}

func killInboxReaders(t *testing.T, roles string, kills int) {
	brokers, cache := devtest.Kafka(t).Brokers(), devtest.Redis(t).URL()
	reading := startApp(t, func(c *config.Config) {
		c.Roles = []config.Role{config.RoleIngest, config.RoleProjections, config.RoleAPI}
		c.Inboxes.Inbox = nil
		c.Kafka.Brokers, c.Redis.URL = brokers, cache
	})
	start := func() *exec.Cmd {
		cmd := programCommand("serve", "--data", t.TempDir(), "--roles", roles,
			"--http=127.0.0.1:0", "--ops=127.0.0.1:0", "--kafka-partitions=4", "--log-level=error",
			"--kafka-brokers", strings.Join(brokers, ","), "--database-url", reading.Database,
			"--redis-url", cache)
		cmd.Env = append(cmd.Env, "SCHOOLBELL_JWT_SECRET="+testSecret)
		cmd.Stdout, cmd.Stderr = io.Discard, t.Output()
		require.NoError(t, cmd.Start())
		return cmd
	}
	running := start()
	defer func() {
		_ = running.Process.Signal(os.Interrupt)
		_ = running.Wait()
	}()

	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.UnknownTopicRetries(200),
		kgo.DefaultProduceTopic("schoolbell.inbox"))
	require.NoError(t, err)
	defer client.Close()
	var mu sync.Mutex
	accepted := map[string][]string{} // event ids by school
	ctx, stop := context.WithCancel(t.Context())
	var producers sync.WaitGroup
	for producer := range 4 {
		producers.Go(func() {
			pace := time.NewTicker(20 * time.Millisecond) // so that readers keep up with 50 a second
			defer pace.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				<-pace.C
				school := fmt.Sprint("school-", n%3)
				rec := strangersEvent(t, marked(school, producer*1_000_000+n, "present"))
				id := string(rec.Headers[1].Value)
				if err := client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
					t.Errorf("produce: %v", err)
					return
				}
				mu.Lock()
				accepted[school] = append(accepted[school], id)
				mu.Unlock()
			}
		})
	}
	counted := func() (n int) {
		for school := range 3 {
			n += reading.presentOn7September(t, fmt.Sprint("school-", school))
		}
		return n
	}
	for range kills {
		before := counted()
		require.Eventually(t, func() bool { return counted() > before+100 }, 2*time.Minute,
			50*time.Millisecond, "the inbox is read")
		require.NoError(t, running.Process.Kill())
		_ = running.Wait()
		running = start()
	}
	stop()
	producers.Wait()
	total := 0
	for _, ids := range accepted {
		total += len(ids)
	}
	require.Eventually(t, func() bool { return counted() >= total }, 2*time.Minute,
		50*time.Millisecond)
	for school, ids := range accepted {
		require.ElementsMatch(t, ids, reading.eventIDs(t, school))
		require.Equal(t, len(ids), reading.presentOn7September(t, school), "each counts once")
	}
	t.Logf("%d events, %d kills of %s", total, kills, roles)
}

// presentOn7September is how many marks of a school say present, on the day of the test's events.
func (a *app) presentOn7September(t *testing.T, school string) int {
	t.Helper()
	var got attendanceBody
	resp := a.get(t, "/v1/schools/"+school+
		"/analytics/attendance?from=2026-09-07&to=2026-09-07", "", &got)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return got.Totals.Present
}
