// Package router brings events from the log to the planners by Watermill.
//
// [Publisher] and [Subscriber] are Watermill's two interfaces over the log. A message is a record: its metadata are the
// headers, its UUID the header ce_id, its key the header ce_school. Messages of a partition come in order; one that was
// not acknowledged comes again before the position of its partition moves on, so each is handled at least once. Positions
// are kept where the results are ([Positions]), not in Kafka.
//
// How many messages of a partition are handed out before the first is acknowledged is the subscriber's InFlight. With one,
// which Watermill's tests for order want, they are handled one after the other. The planners take many at the same time:
// what follows from one event does not depend on the one before.
//
// Watermill's own suite pubsub/tests proves both on kafka's stand-in and on a real broker. The features that are declared
// absent, and whose tests it skips: ExactlyOnceDelivery (at least once; what follows is idempotent), RestartServiceCommand
// (restarts of the broker are tested in internal/kafka), NewSubscriberReceivesOldMessages (who subscribes is a group and
// goes on where it was), ContextPreserved (a context does not travel through a log).
package router
