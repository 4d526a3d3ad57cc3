// Package ingest is how events of producers get into the log, over HTTP and from Kafka alike.
//
// # What it promises
//
// The log is written by Schoolbell alone. [Writer.Append] writes events that were checked; HTTP and
// inboxes share it. An inbox is a topic that any Kafka client may write to: its records are checked
// by the rules of HTTP, appended to the log, and only then is the inbox's position stored. What a
// crash repeats has the same ids, and readers of the log drop it, so each event counts once. A
// record that is refused becomes a dead letter with all its faults, in a topic and in PostgreSQL,
// and the next one is read at once: nothing that a producer can write stops an inbox. Events for a
// partition of the log that is refused wait until an operator has decided, and no others with them
// (waiting.go).
//
// Order is that of an inbox partition. A producer whose key is the school, or is the same for the
// same school, has its events in the order in which it wrote them.
//
// The schools of a partition share its readers: [Pacer] lets a school append only as fast as is read
// once it has more unread than its share, over HTTP and from inboxes alike.
//
// # How data runs through it
//
// [Reader] joins a group and runs a partition worker for each partition that it is given: fetch,
// check ([cloudevents.Intake.ParseRecord]), append for all schools of the batch at the same time,
// store dead letters, store the position. While Kafka or PostgreSQL cannot be reached, it repeats
// the batch, ever more slowly.
//
// # Where to make the first change
//
// What an inbox may write is in source.go, the loop in partition.go, what becomes of refused records
// in letters.go. Who is let in is in backlog.go, how fast readers are in reading.go.
package ingest
