package kafka_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/schoolbell/schoolbell/eventlog/logtest"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/devstack/realkafka"
)

func TestLogOnRealKafka(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "java")
	broker := realkafka.Start(t)
	var topics atomic.Int32
	logtest.Run(t, func(t *testing.T) *logtest.Harness {
		topic := fmt.Sprintf("events-%d", topics.Add(1))
		h := harness(t, broker.Addresses(), topic, 3*time.Second)
		h.Truncate = func(t *testing.T, partition int32, before int64) { truncate(t, broker, topic, partition, before) }
		h.Recreate = func(t *testing.T) { deleteTopic(t, broker, topic) }
		h.Stop = func(*testing.T) { broker.Kill() }
		h.Start = func(t *testing.T) { broker.Restart(t) }
		h.Pause = func(*testing.T) { broker.Pause() }
		h.Resume = func(*testing.T) { broker.Resume() }
		return h
	})
}

// franz is a client for what Schoolbell itself never does to a log.
func franz(t *testing.T, broker *realkafka.Broker) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addresses()...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func truncate(t *testing.T, broker *realkafka.Broker, topic string, partition int32, before int64) {
	t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 5000
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = partition, before
	top := kmsg.NewDeleteRecordsRequestTopic()
	top.Topic, top.Partitions = topic, append(top.Partitions, part)
	req.Topics = append(req.Topics, top)
	response, err := req.RequestWith(t.Context(), franz(t, broker))
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode))
}

func deleteTopic(t *testing.T, broker *realkafka.Broker, topic string) {
	t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 5000
	req.TopicNames = []string{topic}
	top := kmsg.NewDeleteTopicsRequestTopic()
	top.Topic = &topic
	req.Topics = append(req.Topics, top)
	client := franz(t, broker)
	response, err := req.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(response.Topics[0].ErrorCode))

	// The controller has deleted it; the broker learns that a little later.
	describe := kmsg.NewPtrMetadataRequest()
	name := kmsg.NewMetadataRequestTopic()
	name.Topic = &topic
	describe.Topics = append(describe.Topics, name)
	require.Eventually(t, func() bool {
		response, err := describe.RequestWith(t.Context(), client)
		return err == nil && response.Topics[0].ErrorCode == kerr.UnknownTopicOrPartition.Code
	}, logtest.Patience, 10*time.Millisecond)
}
