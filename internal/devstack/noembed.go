//go:build noembed

package devstack

import (
	"context"
	"errors"
)

// Embedded reports whether this build contains the servers. The build tag noembed leaves them out.
const Embedded = false

var errNotEmbedded = errors.New("this build contains no embedded servers")

// KafkaConfig is not used in this build.
type KafkaConfig struct {
	Dir      string
	Sync     bool
	Password string
}

// Kafka is never running in this build.
type Kafka struct{}

// StartKafka fails in this build.
func StartKafka(KafkaConfig) (*Kafka, error) { return nil, errNotEmbedded }

// Brokers returns nothing.
func (*Kafka) Brokers() []string { return nil }

// Stop does nothing.
func (*Kafka) Stop() {}

// Redis is never running in this build.
type Redis struct{}

// StartRedis fails in this build.
func StartRedis(string) (*Redis, error) { return nil, errNotEmbedded }

// URL returns nothing.
func (*Redis) URL() string { return "" }

// Run does nothing.
func (*Redis) Run(context.Context) error { return nil }

// Stop does nothing.
func (*Redis) Stop() {}

func fetchPostgres(context.Context) (programs, error) { return programs{}, errNotEmbedded }
