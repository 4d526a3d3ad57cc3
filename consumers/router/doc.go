// Package router brings events from the log to the planners by Watermill.
//
// [Publisher] and [Subscriber] are Watermill's two interfaces over the log. A message is a record:
// its metadata are the headers, its UUID the header ce_id, its key the header ce_school. Messages
// of a partition are handed out in order; one that was not acknowledged is handed out again before
// the position of its partition moves on, so each is handled at least once. Positions are stored
// where the results are ([Positions]), not in Kafka.
//
// Up to [DefaultInFlight] messages of a partition are handed out before the first of them is
// acknowledged, and the planners handle them at the same time: what follows from one event does not
// depend on the one before. This is the configuration of the program, and of the suite below.
//
// [Router] runs the subscriber with a handler that decodes an event and plans it, under middleware
// that measures, limits the time, and makes dead letters of what cannot be handled. serve has no
// publisher: the outcomes of deliveries go through the ledger's outbox. The publisher is there for
// handlers that produce messages, and is what the suite publishes with.
//
// Watermill's own suite pubsub/tests proves both on kfake and on a real broker. Features declared
// absent, whose tests it skips: ExactlyOnceDelivery (at least once; the results are idempotent),
// GuaranteedOrder (which would mean one message in flight; the order in which messages are handed
// out is tested here), RestartServiceCommand (broker restarts are tested in internal/kafka),
// NewSubscriberReceivesOldMessages (a subscriber is a group and continues where it was),
// ContextPreserved (a context does not travel through a log).
//
// The first change: what happens to an event between the log and its planner is the list of
// middleware in router.go.
package router
