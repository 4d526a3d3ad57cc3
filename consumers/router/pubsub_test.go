package router_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/router"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/devstack/realkafka"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// features are what the log can do. The package's documentation explains those that are absent.
var features = tests.Features{ConsumerGroups: true, Persistent: true}

func TestWatermillSuiteOnKfake(t *testing.T) {
	t.Parallel()
	devtest.Long(t) // fifty members leave a group one after the other
	suite(t, devtest.Kafka(t).Brokers())
}

func TestWatermillSuiteOnRealKafka(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "java")
	suite(t, realkafka.Start(t).Addresses())
}

func suite(t *testing.T, brokers []string) {
	t.Helper()
	c := &cluster{t: t, brokers: brokers, logs: map[string]*kafka.Log{}}
	t.Cleanup(c.close)
	stored := newPositions()
	group := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		sub, err := router.NewSubscriber(router.SubscriberConfig{
			Open: c.open, Positions: stored, Group: group,
		})
		require.NoError(t, err)
		c.opened(sub)
		return router.NewPublisher(c.open), sub
	}
	t.Run("suite", func(t *testing.T) {
		tests.TestPubSub(t, features,
			func(t *testing.T) (message.Publisher, message.Subscriber) { return group(t, "test") }, group)
	})
}

// cluster opens a log for each topic.
type cluster struct {
	t       *testing.T
	brokers []string

	mu   sync.Mutex
	logs map[string]*kafka.Log
	subs []message.Subscriber
}

// opened registers a subscriber to be closed: the suite leaves some open.
func (c *cluster) opened(sub message.Subscriber) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subs = append(c.subs, sub)
}

func (c *cluster) open(_ context.Context, topic string) (eventlog.Log, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if log := c.logs[topic]; log != nil {
		return log, nil
	}
	log, err := kafka.Open(context.Background(), kafka.Config{Brokers: c.brokers, Topic: topic, Partitions: 2}, slog.New(slog.DiscardHandler), nil)
	if err == nil {
		c.logs[topic] = log
	}
	return log, err
}

func (c *cluster) close() {
	for _, sub := range c.subs {
		require.NoError(c.t, sub.Close())
	}
	for _, log := range c.logs {
		require.NoError(c.t, log.Close())
	}
}
