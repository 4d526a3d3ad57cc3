package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// Partitions that are added to the topic would move schools to other ones. Whatever the settings
// say then, nothing reads or writes the log, and nothing has changed in the tables.
func TestP8_MorePartitionsAreRefusedByAll(t *testing.T) {
	t.Parallel()
	broker := devtest.Kafka(t)
	a := startApp(t, func(c *config.Config) { c.Kafka.Brokers = broker.Brokers() })
	a.publish(t, "north", enrolled("north", 1), marked("north", 1, "present"))

	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Brokers()...))
	require.NoError(t, err)
	defer client.Close()
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.TimeoutMillis = 10_000
	grow.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "schoolbell.events", Count: 5}}
	resp, err := grow.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))

	for _, partitions := range []int32{4, 5, 0} {
		cfg := defaultConfig(t)
		cfg.Data, cfg.Database.URL, cfg.JWT.Secret = t.TempDir(), a.Database, testSecret
		cfg.Kafka.Brokers, cfg.Kafka.Partitions = broker.Brokers(), partitions
		err := program.Run(context.Background(), cfg, testLog(t), func(program.Address) {
			t.Errorf("it starts with %d partitions in the settings", partitions)
		})
		require.ErrorContains(t, err, "has 5 partitions", "%d", partitions)
		require.ErrorContains(t, err, "restore the topic")
	}
	for _, args := range [][]string{{"rebuild"}, {"verify"}, {"jobs", "verify"}} {
		code, _, stderr := command(t,
			a.withLog(append(args, "--database-url", a.Database)...)...)
		require.Equal(t, exitFailed, code, "%v", args)
		require.Contains(t, stderr, "has 5 partitions, and the events of this installation were "+
			"written to 4", "%v", args)
	}
}
