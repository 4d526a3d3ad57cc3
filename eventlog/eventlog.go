package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// Record is one entry of the log as it is stored: CloudEvents in binary content mode, with the
// attributes in the headers and the data in the value. Its bytes must not be changed.
type Record struct {
	Position domain.Position
	Time     time.Time // when it was produced, by the producer's or the broker's clock
	Key      []byte    // the school
	Headers  []Header
	Value    []byte
}

// Header is one named value of a record.
type Header struct {
	Key   string
	Value []byte
}

// Batch is what one fetch brings.
type Batch struct {
	Records       []Record // in order, none before the requested offset
	Next          int64    // the offset to fetch from next
	HighWatermark int64    // the offset that the next record will get
	LogStart      int64    // the offset of the oldest record still there
}

// Errors that callers decide on.
var (
	// ErrOffsetOutOfRange: the requested offset is below the log's start or above its end: records
	// that the reader has not seen are gone, or the topic is not the one it was.
	ErrOffsetOutOfRange = errors.New("offset is outside the log")
	// ErrTooLarge: a record is larger than the log accepts.
	ErrTooLarge = errors.New("record is larger than the log accepts")
	// ErrUnavailable: the log could not be reached in time. Whether the records were written is
	// unknown; appending them again with the same ids is safe.
	ErrUnavailable = errors.New("log is unavailable")
	// ErrOverloaded: too many records are waiting to be written. None of these were.
	ErrOverloaded = errors.New("too many records are waiting for the log")
)

// UndecodableError is the error of a Fetch at a batch whose records cannot be read: it inflates to
// more than a reader can hold, or is no batch inside. Reading it again does not help; what follows
// it is at Last+1.
type UndecodableError struct {
	First, Last int64 // the offsets of its records, from the wanted one on
	Err         error
}

func (e *UndecodableError) Error() string {
	return fmt.Sprintf("batch at offsets %d to %d cannot be decoded: %v", e.First, e.Last, e.Err)
}

func (e *UndecodableError) Unwrap() error { return e.Err }

// Appender writes to the log.
type Appender interface {
	// Append writes the records of one school, in order and next to each other, and returns the
	// position of the first. When it returns without an error they are durable on all in-sync
	// replicas.
	Append(ctx context.Context, school string, records []Record) (domain.Position, error)
}

// Fetcher reads the log from any position, without a group.
type Fetcher interface {
	// Fetch returns records from an offset on. When there are none it waits up to maxWait for one
	// and then returns an empty batch. maxBytes bounds the batch, but at least one record is
	// returned if there is one.
	Fetch(
		ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
	) (Batch, error)
}

// Topic describes the log.
type Topic struct {
	Name       string
	ID         string // changes when the topic is deleted and created again
	Partitions int32
}

// PartitionsError: a topic has another number of partitions than when it was first used.
type PartitionsError struct {
	Topic Topic // as it is now
	Used  int32 // how many partitions it had
}

func (e *PartitionsError) Error() string {
	return fmt.Sprintf("topic %s has %d partitions, and the events of this installation were "+
		"written to %d: in which one a school's events are depends on the number, so nothing is "+
		"read or written with another one. Leave the settings and the database as they are, stop "+
		"whatever writes to the topic, and restore the topic with its %d partitions",
		e.Topic.Name, e.Topic.Partitions, e.Used, e.Used)
}

// Inspector describes the log itself.
type Inspector interface {
	Topic(ctx context.Context) (Topic, error)
	// Bounds returns the offset of the oldest record of a partition and the one the next record
	// will get.
	Bounds(ctx context.Context, partition int32) (start, end int64, err error)
}

// Source is what a [Reader] needs of a log.
type Source interface {
	Fetcher
	Inspector
}

// Assignment is the right to work on one partition, for as long as the context lasts that came with
// it.
type Assignment struct {
	Partition int32
	// Stored is the offset that was committed to the group last, 0 when none was.
	Stored int64
	// Committed commits an offset to the log's group, for tools that show lag. It is no checkpoint:
	// a member that has lost the partition can still call it.
	Committed func(next int64)
}

// Group assigns the partitions to the processes that name the same group, each to one of them.
type Group interface {
	// Consume joins the group and calls work in a goroutine of its own for each partition while this
	// process has it; work must return soon after its context ends. If it returns nil earlier, the
	// partition stays with this process and no work is done on it. Consume returns nil when ctx ends,
	// or the error of the first work that failed.
	Consume(ctx context.Context, group string, work func(context.Context, Assignment) error) error
}

// Log is the whole contract.
type Log interface {
	Appender
	Source
	Group
}

// GroupID names the group by which processes share the partitions of a topic for one purpose. The
// topic is in it because installations of Schoolbell may share a cluster: in a group of two topics,
// members of one would be handed the partitions of the other.
func GroupID(purpose, topic string) string { return purpose + "." + topic }

// PartitionFor returns the partition of a school: the same one that the standard Kafka clients
// choose for this key (murmur2), so that producers which write to Kafka directly agree with us.
func PartitionFor(school string, partitions int32) int32 {
	return int32(murmur2(school)&0x7fffffff) % partitions
}

// murmur2 is the hash of Kafka's default partitioner (org.apache.kafka.common.utils.Utils.murmur2).
func murmur2(s string) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(s))
	for len(s) >= 4 {
		k := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
		s = s[4:]
	}
	switch len(s) {
	case 3:
		h ^= uint32(s[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(s[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(s[0])) * m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
