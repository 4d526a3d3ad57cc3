package router_test

import (
	"strconv"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/router"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
)

// TestMessagesAreHandedOutInOrder takes a whole flight of messages before it acknowledges any, and
// refuses one: those of a partition come in the order of the log, and the refused one again.
func TestMessagesAreHandedOutInOrder(t *testing.T) {
	t.Parallel()
	const count, inFlight = 60, 20
	open := router.SingleTopic(memlog.New(1), "events")
	publisher := router.NewPublisher(open)
	for i := range count {
		m := message.NewMessage(strconv.Itoa(i), nil)
		m.Metadata.Set("ce_school", "oak")
		require.NoError(t, publisher.Publish("events", m))
	}
	subscriber, err := router.NewSubscriber(router.SubscriberConfig{
		Open: open, Positions: newPositions(), Group: "test", InFlight: inFlight,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, subscriber.Close()) }()
	messages, err := subscriber.Subscribe(t.Context(), "events")
	require.NoError(t, err)
	for first := 0; first < count; first += inFlight {
		flight := make([]*message.Message, inFlight)
		for i := range flight {
			flight[i] = <-messages
			require.Equal(t, strconv.Itoa(first+i), flight[i].UUID)
		}
		select {
		case m := <-messages:
			t.Fatalf("message %s is handed out while %d are not acknowledged", m.UUID, inFlight)
		default:
		}
		flight[0].Nack()
		again := <-messages
		require.Equal(t, flight[0].UUID, again.UUID)
		flight[0] = again
		for _, m := range flight {
			m.Ack()
		}
	}
}
