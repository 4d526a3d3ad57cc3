package kafka_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/devstack/realkafka"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

func TestSettingsOfTheTopicAreWatched(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	settingsAreWatched(t, cluster.ListenAddrs())
}

func TestSettingsOfTheTopicAreWatchedOnRealKafka(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "java")
	settingsAreWatched(t, realkafka.Start(t).Addresses())
}

// settingsAreWatched weakens the topic of an open log, and cures it.
func settingsAreWatched(t *testing.T, brokers []string) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	log, err := kafka.Open(t.Context(), kafka.Config{
		Brokers: brokers, Topic: "events", Partitions: 1, Replication: 1, TopicInterval: 10 * time.Millisecond,
	}, slog.New(slog.DiscardHandler), reg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	watching := make(chan error, 1)
	go func() { watching <- log.WatchTopic(t.Context()) }()
	t.Cleanup(func() { require.NoError(t, <-watching) })
	require.NoError(t, log.TopicProblems())

	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	alter := func(values map[string]string) {
		resource := kmsg.NewIncrementalAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, "events"
		for name, value := range values {
			change := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			change.Name, change.Value = name, &value
			resource.Configs = append(resource.Configs, change)
		}
		request := kmsg.NewPtrIncrementalAlterConfigsRequest()
		request.Resources = append(request.Resources, resource)
		done, err := request.RequestWith(t.Context(), client)
		require.NoError(t, err)
		require.NoError(t, kerr.ErrorForCode(done.Resources[0].ErrorCode))
	}
	alter(map[string]string{
		"cleanup.policy": "compact", "retention.ms": "3600000", "min.insync.replicas": "3",
		"unclean.leader.election.enable": "true", "message.timestamp.type": "CreateTime",
	})
	for _, want := range []string{
		`cleanup.policy is "compact"`, "retains records for 1h0m0s", "min.insync.replicas is 3, but it has 1",
		"unclean.leader.election.enable is true", "message.timestamp.type is CreateTime",
	} {
		require.Eventually(t, func() bool {
			err := log.TopicProblems()
			return err != nil && strings.Contains(err.Error(), want)
		}, 20*time.Second, 10*time.Millisecond, "%s: %v", want, log.TopicProblems())
	}
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP schoolbell_log_topic_faults 1 for each setting of the topic by which the log may lose events.
# TYPE schoolbell_log_topic_faults gauge
schoolbell_log_topic_faults{setting="cleanup.policy"} 1
schoolbell_log_topic_faults{setting="max.message.bytes"} 0
schoolbell_log_topic_faults{setting="message.timestamp.type"} 1
schoolbell_log_topic_faults{setting="min.insync.replicas"} 1
schoolbell_log_topic_faults{setting="partitions"} 0
schoolbell_log_topic_faults{setting="replicas"} 0
schoolbell_log_topic_faults{setting="retention.bytes"} 0
schoolbell_log_topic_faults{setting="retention.ms"} 1
schoolbell_log_topic_faults{setting="unclean.leader.election.enable"} 1
`), "schoolbell_log_topic_faults"))
	alter(map[string]string{
		"cleanup.policy": "delete", "retention.ms": "-1", "min.insync.replicas": "1",
		"unclean.leader.election.enable": "false", "message.timestamp.type": "LogAppendTime",
	})
	require.Eventually(t, func() bool { return log.TopicProblems() == nil }, 20*time.Second, 10*time.Millisecond)
}
