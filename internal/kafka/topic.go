package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/deletetopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"

	"github.com/schoolbell/schoolbell/eventlog"
)

const (
	defaultPartitions = 12
	// batchOverhead is what a batch may take beyond its records when they do not compress.
	batchOverhead = 64 << 10
)

// prepareTopic finds the topic, or creates it, and checks that it can be the log.
func (l *Log) prepareTopic(ctx context.Context) error {
	m, err := l.findTopic(ctx, l.logSettings())
	if err != nil {
		return err
	}
	if err := l.checkTopic(ctx, m); err != nil {
		return err
	}
	l.use(m)
	return nil
}

// use makes a topic the one that is read and written.
func (l *Log) use(m *metadata) {
	l.topicID = m.topicID
	l.writers = make([]partitionWriter, len(m.leaders))
	l.ratios = make([]atomic.Uint32, len(m.leaders))
}

// useKnown takes the topic for the one that it was. Another one in its place is found with the first
// request, as requests are by its id.
func (l *Log) useKnown(topic eventlog.Topic) error {
	m := &metadata{leaders: make([]int32, topic.Partitions)}
	n, err := hex.Decode(m.topicID[:], []byte(topic.ID))
	if err != nil || n != len(m.topicID) {
		return fmt.Errorf("read the topic's id %q: %w", topic.ID, err)
	}
	l.use(m)
	return nil
}

// logSettings are those of a new topic that is to be the log.
func (l *Log) logSettings() []createtopics.RequestConfig {
	retention := int64(-1)
	if l.config.Retention > 0 {
		retention = l.config.Retention.Milliseconds()
	}
	return []createtopics.RequestConfig{
		{Name: "cleanup.policy", Value: "delete"},
		{Name: "retention.ms", Value: strconv.FormatInt(retention, 10)},
		{Name: "max.message.bytes", Value: strconv.Itoa(l.config.MaxBatchBytes + batchOverhead)},
		// The broker's clock, so that no producer's clock can get its records refused.
		{Name: "message.timestamp.type", Value: "LogAppendTime"},
	}
}

// findTopic waits for the cluster, and until each partition has a leader. A topic that does not
// exist is created with these settings.
func (l *Log) findTopic(
	ctx context.Context, settings []createtopics.RequestConfig,
) (*metadata, error) {
	var last error
	for wait := (pauses{}); ; {
		m, err := l.cluster.fetchMetadata(ctx)
		if err == nil {
			if err = m.fault; errors.Is(err, kafkago.UnknownTopicOrPartition) {
				if err = l.createTopic(ctx, m, settings); err == nil {
					err = kafkago.LeaderNotAvailable // as it is new
				}
			}
		}
		for i := 0; err == nil && i < len(m.leaders); i++ {
			_, err = m.leader(int32(i))
		}
		if err == nil {
			return m, nil
		}
		var refused *refusedError
		if !temporary(err) || ctx.Err() == nil && errors.As(err, &refused) {
			return nil, err
		}
		if ctx.Err() == nil {
			last = err
		}
		if wait.delay != nil { // a topic that was just created has no leader for a moment
			l.logger.WarnContext(ctx, "waiting for kafka",
				"topic", l.config.Topic, "brokers", l.config.Brokers, "error", err)
		}
		if !wait.sleep(ctx) {
			return nil, unavailable(ctx, last)
		}
	}
}

func (l *Log) createTopic(
	ctx context.Context, m *metadata, settings []createtopics.RequestConfig,
) error {
	topic := createtopics.RequestTopic{
		Name:              l.config.Topic,
		NumPartitions:     l.config.Partitions,
		ReplicationFactor: l.config.Replication,
		Configs:           settings,
	}
	if topic.NumPartitions == 0 {
		topic.NumPartitions = defaultPartitions
	}
	if topic.ReplicationFactor == 0 {
		topic.ReplicationFactor = -1
	} else {
		inSync := 1
		if topic.ReplicationFactor >= 3 {
			inSync = 2
		}
		topic.Configs = append(topic.Configs, createtopics.RequestConfig{Name: "min.insync.replicas", Value: strconv.Itoa(inSync)})
	}
	return l.cluster.with(ctx, m.brokers[m.controller], func(c *conn) error {
		response, err := c.call(&createtopics.Request{
			Topics:    []createtopics.RequestTopic{topic},
			TimeoutMs: int32(l.config.RequestTimeout.Milliseconds()),
		})
		if err != nil {
			return err
		}
		for _, t := range response.(*createtopics.Response).Topics {
			switch code := kafkago.Error(t.ErrorCode); {
			case code == 0:
				l.logger.InfoContext(ctx, "created topic", "topic", l.config.Topic, "partitions",
					topic.NumPartitions)
			case code != kafkago.TopicAlreadyExists: // by another process, just now
				return fmt.Errorf("create the topic: %w: %s", code, t.ErrorMessage)
			}
		}
		return nil
	})
}

// checkTopic refuses a topic that would lose records or promises, with what an operator can do
// about it.
func (l *Log) checkTopic(ctx context.Context, m *metadata) error {
	settings, err := l.settings(ctx, m)
	if err != nil {
		return fmt.Errorf("read the topic's settings: %w", err)
	}
	unfit := l.unfit(m, settings)
	if len(unfit) == 0 {
		l.reportTopic(ctx, weaknesses(m, settings))
		return nil
	}
	var all []error
	for _, f := range unfit {
		all = append(all, f.error)
	}
	return errors.Join(all...)
}

// unfit returns the settings with which a topic would lose records or promises as a matter of course.
func (l *Log) unfit(m *metadata, settings map[string]string) (faults []topicFault) {
	number := func(name string) int64 {
		n, err := strconv.ParseInt(settings[name], 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	fault := func(setting, format string, args ...any) {
		faults = append(faults, topicFault{setting, fmt.Errorf(format, args...)})
	}
	if n := int32(len(m.leaders)); l.config.Partitions != 0 && n != l.config.Partitions {
		fault("partitions",
			"the topic has %d partitions and the configuration has %d: in which one a school's events are depends on the number, so it must stay what it was when the topic was created. "+
				"If partitions were added since, leave the configuration as it is and restore the topic",
			n, l.config.Partitions,
		)
	}
	if policy := settings["cleanup.policy"]; policy != "delete" && policy != "" {
		fault("cleanup.policy",
			"the topic's cleanup.policy is %q, which removes events that a rebuild needs: set it to \"delete\"",
			policy,
		)
	}
	retained := number("retention.ms")
	switch wanted := l.config.Retention.Milliseconds(); {
	case retained < 0:
	case wanted == 0:
		fault("retention.ms",
			"the topic retains records for %s but retention is configured as unlimited: set its retention.ms to -1, or configure a retention",
			time.Duration(retained)*time.Millisecond,
		)
	case retained < wanted:
		fault("retention.ms", "the topic retains records for %s but %s is configured: set its retention.ms to %d",
			time.Duration(retained)*time.Millisecond, l.config.Retention, wanted)
	}
	if n := number("retention.bytes"); n >= 0 {
		fault("retention.bytes", "the topic retains only %d bytes of each partition: set its retention.bytes to -1", n)
	}
	if have, want := number("max.message.bytes"), int64(l.config.MaxBatchBytes+batchOverhead); have >= 0 &&
		have < want {
		fault("max.message.bytes",
			"the topic accepts batches of %d bytes but %d are needed: set its max.message.bytes to %d, or configure a smaller batch",
			have, want, want,
		)
	}
	return faults
}

func (l *Log) settings(ctx context.Context, m *metadata) (map[string]string, error) {
	const topicResource = 2
	settings := map[string]string{}
	err := l.cluster.with(ctx, m.brokers[m.controller], func(c *conn) error {
		response, err := c.call(
			&describeconfigs.Request{Resources: []describeconfigs.RequestResource{{
				ResourceType: topicResource,
				ResourceName: l.config.Topic,
				ConfigNames:  topicSettings,
			}}},
		)
		if err != nil {
			return err
		}
		for _, r := range response.(*describeconfigs.Response).Resources {
			if r.ErrorCode != 0 {
				return fmt.Errorf("%w: %s", kafkago.Error(r.ErrorCode), r.ErrorMessage)
			}
			for _, entry := range r.ConfigEntries {
				settings[entry.ConfigName] = entry.ConfigValue
			}
		}
		return nil
	})
	return settings, err
}

// DeleteTopic removes the topic with all its records. It is for logs that were made to be thrown
// away.
func (l *Log) DeleteTopic(ctx context.Context) error {
	m, err := l.cluster.metadata(ctx)
	if err != nil {
		return err
	}
	return l.cluster.with(ctx, m.brokers[m.controller], func(c *conn) error {
		response, err := c.call(
			&deletetopics.Request{
				TopicNames: []string{l.config.Topic},
				TimeoutMs:  int32(l.config.RequestTimeout.Milliseconds()),
			},
		)
		if err != nil {
			return err
		}
		for _, t := range response.(*deletetopics.Response).Responses {
			if t.ErrorCode != 0 {
				return fmt.Errorf("delete the topic %s: %w", l.config.Topic,
					kafkago.Error(t.ErrorCode))
			}
		}
		return nil
	})
}
