package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/schoolbell/schoolbell/eventlog"
)

// DefaultTopic is the topic of a log that no other name is configured for.
const DefaultTopic = "schoolbell.events"

// Config configures the log. Only Brokers has no default.
type Config struct {
	// Brokers are the addresses, host:port, of one or more brokers of the cluster.
	Brokers []string
	// Topic is the topic that is the log; empty means DefaultTopic.
	Topic string
	// Partitions of the topic. They are fixed when it is created; 0 creates 12, and takes an
	// existing topic as it is.
	Partitions int32
	// Replication is the number of copies of each record; 0 leaves it to the broker. From 3 on, a
	// write waits for 2.
	Replication int16
	// Retention is how long records are retained; 0 means without limit.
	Retention time.Duration
	// MaxRecordBytes is the largest record accepted, before compression; 0 means 1 MiB.
	MaxRecordBytes int
	// MaxBatchBytes is the maximum size of one Append, before compression; 0 means 8 MiB.
	MaxBatchBytes int
	// MaxQueueBytes bounds the records that wait to be written; 0 means 64 MiB.
	MaxQueueBytes int

	// TLS is used when it is not nil.
	TLS *tls.Config
	// SASL is used when it is not nil.
	SASL *SASL
	// Dial replaces the connection's first step, before TLS; nil means TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Known is the topic as it was found before. With it Open needs no cluster: when there is none
	// after ConnectTimeout, the log is one that cannot be reached yet. Empty means that there must be
	// one.
	Known eventlog.Topic
	// ConnectTimeout bounds how long Open waits for the cluster; 0 means 30 s.
	ConnectTimeout time.Duration
	// DialTimeout bounds a connection's start, TLS and SASL included; 0 means 3 s.
	DialTimeout time.Duration
	// RequestTimeout bounds a request to the log, including retries; 0 means 5 s.
	RequestTimeout time.Duration
	// AppendTimeout bounds an Append, from the queue to the response; 0 means 5 s.
	AppendTimeout time.Duration

	// Session is how long a member of a group may be silent before its partitions go to others; 0
	// means 6 s, the minimum that brokers accept by default.
	Session time.Duration
	// Heartbeat is the interval of heartbeats to the group's coordinator; 0 means 1 s.
	Heartbeat time.Duration
	// Rebalance is how long a member may take to release its partitions; 0 means 6 s.
	Rebalance time.Duration

	// TopicInterval is the interval at which the topic's settings are checked; 0 means 2 min.
	TopicInterval time.Duration
}

// SASL is how Schoolbell authenticates to Kafka.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
	Mechanism string
	Username  string
	Password  string
}

func (c Config) withDefaults() Config {
	c.Topic = cmp.Or(c.Topic, DefaultTopic)
	c.MaxRecordBytes = cmp.Or(c.MaxRecordBytes, 1<<20)
	c.MaxBatchBytes = cmp.Or(c.MaxBatchBytes, 8<<20)
	c.MaxQueueBytes = cmp.Or(c.MaxQueueBytes, 64<<20)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 30*time.Second)
	c.DialTimeout = cmp.Or(c.DialTimeout, 3*time.Second)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 5*time.Second)
	c.AppendTimeout = cmp.Or(c.AppendTimeout, 5*time.Second)
	c.Session = cmp.Or(c.Session, 6*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, time.Second)
	c.Rebalance = cmp.Or(c.Rebalance, 6*time.Second)
	c.TopicInterval = cmp.Or(c.TopicInterval, 2*time.Minute)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	return c
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(c.Brokers) == 0 {
		fault("brokers: at least one address is needed")
	}
	for _, b := range c.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			fault("brokers: %q is not host:port", b)
		}
	}
	if len(c.Topic) > 249 {
		fault("topic: a name has at most 249 characters")
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"partitions", int64(c.Partitions)},
		{"replication", int64(c.Replication)},
		{"retention", int64(c.Retention)},
		{"largest record", int64(c.MaxRecordBytes)},
		{"largest batch", int64(c.MaxBatchBytes)},
		{"queue", int64(c.MaxQueueBytes)},
		{"connect timeout", int64(c.ConnectTimeout)},
		{"dial timeout", int64(c.DialTimeout)},
		{"request timeout", int64(c.RequestTimeout)},
		{"append timeout", int64(c.AppendTimeout)},
		{"session", int64(c.Session)},
		{"heartbeat", int64(c.Heartbeat)},
		{"rebalance", int64(c.Rebalance)},
		{"interval of checks of the topic", int64(c.TopicInterval)},
	} {
		if n.value < 0 {
			fault("%s: must not be negative", n.name)
		}
	}
	d := c.withDefaults()
	if d.MaxRecordBytes > d.MaxBatchBytes {
		fault("largest record: %d bytes do not fit into a batch of %d", d.MaxRecordBytes,
			d.MaxBatchBytes)
	}
	if d.MaxBatchBytes > d.MaxQueueBytes {
		fault("queue: %d bytes do not hold a batch of %d", d.MaxQueueBytes, d.MaxBatchBytes)
	}
	if d.Heartbeat > d.Session/3 {
		fault("heartbeat: %s is more than a third of the session, %s", d.Heartbeat, d.Session)
	}
	if _, err := c.SASL.mechanism(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// mechanism returns what kafka-go needs, nil for none.
func (s *SASL) mechanism() (sasl.Mechanism, error) {
	if s == nil {
		return nil, nil
	}
	if s.Username == "" || s.Password == "" {
		return nil, errors.New("sasl: username and password are needed")
	}
	var algorithm scram.Algorithm
	switch s.Mechanism {
	case "PLAIN":
		return plain.Mechanism{Username: s.Username, Password: s.Password}, nil
	case "SCRAM-SHA-256":
		algorithm = scram.SHA256
	case "SCRAM-SHA-512":
		algorithm = scram.SHA512
	default:
		return nil, fmt.Errorf("sasl: mechanism %q is not PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
			s.Mechanism)
	}
	m, err := scram.Mechanism(algorithm, s.Username, s.Password)
	if err != nil {
		return nil, fmt.Errorf("sasl: %w", err)
	}
	return m, nil
}
