//go:build !noembed

package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kfake"
)

// KafkaConfig configures the Kafka broker.
type KafkaConfig struct {
	// Dir is where the log is stored; empty means in memory only.
	Dir string
	// Sync writes every batch to the disk itself before it is acknowledged. Without it, as with
	// Kafka's own defaults, the operating system does so in its time: nothing is lost when this
	// process is killed, but what was accepted in the last seconds is when the machine loses power.
	Sync bool
	// Password is what clients must know besides [KafkaUser], over [KafkaMechanism]. Empty lets
	// anybody in who reaches the port, which on a shared machine are all of its users.
	Password string
}

// Kafka is a broker inside this process. It speaks Kafka's protocol on the loopback interface.
type Kafka struct {
	cluster *kfake.Cluster
}

// StartKafka starts a broker.
func StartKafka(cfg KafkaConfig) (*Kafka, error) {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(func(_, _ string) (net.Listener, error) {
			return new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		}),
	}
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("make directory of Kafka: %w", err)
		}
		// kfake would go on with the users that it had, of whom there were none before v0.2.
		err := os.Remove(filepath.Join(cfg.Dir, "sasl.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("renew users of Kafka: %w", err)
		}
		opts = append(opts, kfake.DataDir(cfg.Dir))
	}
	if cfg.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	if cfg.Password != "" {
		opts = append(opts, kfake.EnableSASL(),
			kfake.Superuser(KafkaMechanism, KafkaUser, cfg.Password))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("start Kafka: %w", err)
	}
	return &Kafka{cluster}, nil
}

// Brokers are the addresses to connect to.
func (k *Kafka) Brokers() []string { return k.cluster.ListenAddrs() }

// Stop writes everything to disk and closes the broker. Stopping it again does nothing.
func (k *Kafka) Stop() { k.cluster.Close() }
