package devstack

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const testTopic = "schoolbell.events"

// TestP1_KafkaKeepsWhatItAcceptedOverAKill kills the process that the broker lives in while it
// acknowledges records.
func TestP1_KafkaKeepsWhatItAcceptedOverAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	topicID := ""
	accepted := map[string]bool{}
	for round := range 3 {
		child, lines := startChild(t, "kafka", dir)
		require.True(t, lines.Scan())
		id := lines.Text()
		if round > 0 {
			require.Equal(t, topicID, id, "the topic is the same one")
		}
		topicID = id
		for n := 0; n < 500 && lines.Scan(); n++ {
			accepted[lines.Text()] = true
		}
		require.NoError(t, child.Process.Kill())
		for lines.Scan() {
			accepted[lines.Text()] = true
		}
		_ = child.Wait()
	}

	k, err := StartKafka(KafkaConfig{Dir: dir})
	require.NoError(t, err)
	t.Cleanup(k.Stop)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers()...), kgo.ConsumeTopics(testTopic))
	require.NoError(t, err)
	defer client.Close()
	missing := len(accepted)
	require.Greater(t, missing, 1000)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for missing > 0 {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err(), "%d accepted records are missing", missing)
		fetches.EachRecord(func(r *kgo.Record) {
			if accepted[string(r.Value)] {
				delete(accepted, string(r.Value))
				missing--
			}
		})
	}
}

// kafkaChild runs a broker, prints the topic's id, and then every record once it is acknowledged.
func kafkaChild(dir string) error {
	ctx := context.Background()
	k, err := StartKafka(KafkaConfig{Dir: dir})
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers()...),
		kgo.DefaultProduceTopic(testTopic), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	create := kmsg.NewCreateTopicsRequest()
	create.Topics = []kmsg.CreateTopicsRequestTopic{
		{Topic: testTopic, NumPartitions: 4, ReplicationFactor: 1},
	}
	if _, err := create.RequestWith(ctx, client); err != nil {
		return err
	}
	topic := testTopic
	metadata := kmsg.NewMetadataRequest()
	metadata.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	answer, err := metadata.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	fmt.Printf("%x\n", answer.Topics[0].TopicID)
	for n := 0; ; n++ {
		value := fmt.Sprintf("%d-%d-%s", os.Getpid(), n, strings.Repeat("x", 400))
		record := &kgo.Record{Key: fmt.Append(nil, n%16), Value: []byte(value)}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
		fmt.Println(value)
	}
}
