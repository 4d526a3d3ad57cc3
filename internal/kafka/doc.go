// Package kafka implements the log on Kafka. It is the only package that imports kafka-go.
//
// What it promises is written in package eventlog; the suite in eventlog/logtest proves it on
// kafka's stand-in kfake and on a real broker. In short:
//
//   - [Log.Append] returns after all in-sync replicas have the records. Each partition has one write
//     under way; what arrives meanwhile goes with the next. So an idle log takes one round trip, a
//     busy one writes large batches, and order within a school holds through retries. A write whose
//     response was lost is repeated, which can put it into the log twice: readers drop the copy
//     (eventlog.Window).
//   - [Log.Fetch] reads by topic id, so that a topic which was deleted and created again is
//     distinguished from the one that the reader's position belongs to.
//   - [Log.Consume] assigns partitions by Kafka's group protocol. It decides who may work on a
//     partition, not from where: positions are stored with the results, and the offsets committed
//     here are for tools only.
//
// How data runs: append.go queues and encodes (batch.go), cluster.go finds the leader and a
// connection to it (conn.go), messages.go holds the requests. kafka-go brings the rest: the group
// protocol, the requests for creating and describing topics, SASL, and the compressions that other
// producers may use.
package kafka
