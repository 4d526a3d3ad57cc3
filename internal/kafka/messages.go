package kafka

import (
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// The requests that are made all the time are written here and not by kafka-go, whose versions of
// them do not have topic ids. Reading by id is what distinguishes a topic that was deleted and
// created again from the one that a reader's position belongs to. They also allocate much less: the
// response stays in the connection's buffer, and only records are copied out of it.

// message is a request in the version that is written here.
type message struct {
	key     protocol.ApiKey
	version int16
}

var (
	produceMessage     = message{protocol.Produce, 9}
	fetchMessage       = message{protocol.Fetch, 13}
	listOffsetsMessage = message{protocol.ListOffsets, 7}
	metadataMessage    = message{protocol.Metadata, 12}

	requiredVersions = [...]message{
		produceMessage, fetchMessage, listOffsetsMessage, metadataMessage,
	}
)

// codeError returns the error that a code in a response stands for, nil for none.
func codeError(code int16) error {
	if code == 0 {
		return nil
	}
	return kafkago.Error(code)
}

// metadata describes the cluster and the topic.
type metadata struct {
	brokers    map[int32]string // addresses
	controller int32
	fault      error // of the topic; UnknownTopicOrPartition when it does not exist
	topicID    [16]byte
	leaders    []int32 // by partition; -1 for none
	replicas   int     // of the partition that has the fewest
}

// leader returns the address of the broker that leads a partition.
func (m *metadata) leader(partition int32) (string, error) {
	if m.fault != nil {
		return "", m.fault
	}
	if int(partition) >= len(m.leaders) {
		return "", kafkago.UnknownTopicOrPartition
	}
	address, ok := m.brokers[m.leaders[partition]]
	if !ok {
		return "", kafkago.LeaderNotAvailable
	}
	return address, nil
}

func (c *conn) metadata(topic string) (*metadata, error) {
	d, err := c.send(metadataMessage, func(e *encoder) {
		e.array(1)
		e.raw(make([]byte, 16)) // by name, not by id
		e.string(topic)
		e.noTags()
		e.int8(0) // do not create it
		e.int8(0) // without operations that are allowed
		e.noTags()
	})
	if err != nil {
		return nil, err
	}
	m := &metadata{brokers: map[int32]string{}, fault: kafkago.UnknownTopicOrPartition}
	d.int32() // throttle
	for range d.length() {
		id := d.int32()
		m.brokers[id] = joinHostPort(d.string(), d.int32())
		d.bytes() // rack
		d.tags()
	}
	d.bytes() // cluster
	m.controller = d.int32()
	for range d.length() {
		m.fault = codeError(d.int16())
		d.bytes() // name
		copy(m.topicID[:], d.take(16))
		d.int8() // internal
		m.leaders = make([]int32, d.length())
		for range m.leaders {
			d.int16() // fault; the leader implies it
			partition, leader := d.int32(), d.int32()
			d.int32()             // epoch
			for list := range 3 { // replicas, those in sync, those offline
				n := d.length()
				for range n {
					d.int32()
				}
				if list == 0 && (m.replicas == 0 || n < m.replicas) {
					m.replicas = n
				}
			}
			d.tags()
			if int(partition) < len(m.leaders) && partition >= 0 {
				m.leaders[partition] = leader
			}
		}
		d.int32() // operations
		d.tags()
	}
	return m, d.err()
}

// Times that stand for the ends of a partition.
const (
	atStart int64 = -2
	atEnd   int64 = -1
)

func (c *conn) offset(topic string, partition int32, at int64) (int64, error) {
	d, err := c.send(listOffsetsMessage, func(e *encoder) {
		e.int32(-1) // not a replica
		e.int8(0)   // uncommitted too
		e.array(1)
		e.string(topic)
		e.array(1)
		e.int32(partition)
		e.int32(-1) // leader epoch
		e.int64(at)
		e.noTags()
		e.noTags()
		e.noTags()
	})
	if err != nil {
		return 0, err
	}
	d.int32() // throttle
	d.length()
	d.bytes() // topic
	d.length()
	d.int32() // partition
	code := d.int16()
	d.int64() // time
	offset := d.int64()
	if d.bad {
		return 0, errMalformed
	}
	return offset, codeError(code)
}

// produce writes one batch and returns the offset of its first record.
func (c *conn) produce(
	topic string, partition int32, batch []byte, wait time.Duration,
) (base int64, err error) {
	d, err := c.send(produceMessage, func(e *encoder) {
		*e = append(make(encoder, 0, len(batch)+256), *e...)
		e.null()    // no transaction
		e.int16(-1) // all in-sync replicas have it before the response
		e.int32(int32(wait.Milliseconds()))
		e.array(1)
		e.string(topic)
		e.array(1)
		e.int32(partition)
		e.bytes(batch)
		e.noTags()
		e.noTags()
		e.noTags()
	})
	if err != nil {
		return 0, err
	}
	d.length()
	d.bytes() // topic
	d.length()
	d.int32() // partition
	code := d.int16()
	base = d.int64()
	if d.bad {
		return 0, errMalformed
	}
	return base, codeError(code)
}

type fetched struct {
	highWatermark int64
	logStart      int64
	batches       []byte        // part of the connection's response buffer
	transactions  *transactions // nil unless committed records only were requested
}

// isolation says which records a fetch returns.
type isolation int8

const (
	readUncommitted isolation = 0 // all: the log carries no transactions
	readCommitted   isolation = 1 // none of an open transaction, nor any behind its first
)

func (c *conn) fetch(
	topicID [16]byte, partition int32, offset int64, maxBytes int32, wait time.Duration,
	level isolation,
) (fetched, error) {
	d, err := c.send(fetchMessage, func(e *encoder) {
		e.int32(-1) // not a replica
		e.int32(int32(wait.Milliseconds()))
		e.int32(1) // any record ends the wait
		e.int32(maxBytes)
		e.int8(int8(level))
		e.int32(0)  // no session
		e.int32(-1) //
		e.array(1)
		e.raw(topicID[:])
		e.array(1)
		e.int32(partition)
		e.int32(-1) // leader epoch
		e.int64(offset)
		e.int32(-1) // epoch of the last record
		e.int64(-1) // log start, which only replicas send
		e.int32(maxBytes)
		e.noTags()
		e.noTags()
		e.array(0)   // nothing to forget
		e.string("") // rack
		e.noTags()
	})
	if err != nil {
		return fetched{}, err
	}
	d.int32() // throttle
	if err := codeError(d.int16()); err != nil {
		return fetched{}, err
	}
	d.int32() // session
	var f fetched
	if d.length() == 0 {
		return f, errMalformed
	}
	d.take(16) // topic
	d.length()
	d.int32() // partition
	code := d.int16()
	f.highWatermark = d.int64()
	stable := d.int64()
	f.logStart = d.int64()
	if level == readCommitted {
		f.highWatermark, f.transactions = stable, &transactions{}
	}
	for range d.length() {
		aborted := abortedTransaction{producer: d.int64(), first: d.int64()}
		d.tags()
		if f.transactions != nil {
			f.transactions.pending = append(f.transactions.pending, aborted)
		}
	}
	d.int32() // preferred replica
	f.batches = d.bytes()
	if d.bad {
		return fetched{}, errMalformed
	}
	return f, codeError(code)
}
