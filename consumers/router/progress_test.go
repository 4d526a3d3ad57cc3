package router_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/router"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
)

// brokenPositions stores positions while it works.
type brokenPositions struct {
	*positions
	broken atomic.Bool
}

var errBroken = errors.New("connection refused")

func (p *brokenPositions) Save(
	ctx context.Context, group string, topic eventlog.Topic, partition int32, epoch, next int64,
	last eventlog.Mark,
) error {
	if p.broken.Load() {
		return errBroken
	}
	return p.positions.Save(ctx, group, topic, partition, epoch, next, last)
}

func (p *brokenPositions) Claim(
	ctx context.Context, group string, topic eventlog.Topic, partition int32,
) (next, epoch int64, err error) {
	if p.broken.Load() {
		return 0, 0, errBroken
	}
	return p.positions.Claim(ctx, group, topic, partition)
}

// Consumers that stand still do not look like consumers that have nothing to do.
func TestConsumersSayHowFarTheyAre(t *testing.T) {
	t.Parallel()
	open := router.SingleTopic(memlog.New(1), "events")
	publisher := router.NewPublisher(open)
	publish := func(n int) {
		for i := range n {
			m := message.NewMessage(strconv.Itoa(n*100+i), nil)
			m.Metadata.Set("ce_school", "oak")
			require.NoError(t, publisher.Publish("events", m))
		}
	}
	publish(5)
	stored := &brokenPositions{positions: newPositions()}
	progress := router.NewProgress()
	subscriber, err := router.NewSubscriber(router.SubscriberConfig{
		Open: open, Positions: stored, Group: "test", Progress: progress,
	})
	require.NoError(t, err)
	messages, err := subscriber.Subscribe(t.Context(), "events")
	require.NoError(t, err)
	shows := func(want router.Status) {
		t.Helper()
		require.Eventually(t, func() bool {
			all := progress.Status()
			return len(all) == 1 && all[0] == want
		}, 20*time.Second, time.Millisecond, "%v", want)
	}
	(<-messages).Ack()
	(<-messages).Ack()
	waiting := <-messages
	shows(router.Status{State: router.Running, Next: 2, Lag: 3})
	require.Equal(t, 2, testutil.CollectAndCount(progress))

	stored.broken.Store(true)
	waiting.Ack()
	require.Eventually(t, func() bool {
		s := progress.Status()[0]
		return s.State == router.Failing && s.Lag == 2 && s.Reason != ""
	}, 20*time.Second, time.Millisecond)
	stored.broken.Store(false)
	var rest sync.WaitGroup
	rest.Go(func() { // from the position that was saved last
		for m := range messages {
			m.Ack()
		}
	})
	shows(router.Status{State: router.Running, Next: 5})
	require.NoError(t, subscriber.Close())
	rest.Wait()
	require.Empty(t, progress.Status())
}
