package program

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/devstack"
)

// Address says where a running serve and its servers are. It is stored in the data directory for
// the commands that need it, readable by its user only, since the URLs contain passwords.
type Address struct {
	PID      int      `json:"pid"`
	HTTP     string   `json:"http"`            // base URLs
	School   string   `json:"school,omitzero"` // that a newcomer is shown first
	Ops      string   `json:"ops"`
	Brokers  []string `json:"brokers"`
	Database string   `json:"database"`
	Redis    string   `json:"redis"`
	// MaxParked is the limit that its tables are made with.
	MaxParked int `json:"max_parked,omitzero"`

	Topic       string    `json:"topic,omitzero"`    // of the log
	TopicID     string    `json:"topic_id,omitzero"` // likewise
	TLS         *TLSFiles `json:"kafka_tls,omitzero"`
	SASL        *SASL     `json:"kafka_sasl,omitzero"`
	RedisPrefix string    `json:"redis_prefix,omitzero"`
}

// TLSFiles is how a serve encrypts its connections to Kafka. The paths are absolute, as commands may
// run in another directory.
type TLSFiles struct {
	CA   string `json:"ca,omitzero"`
	Cert string `json:"cert,omitzero"`
	Key  string `json:"key,omitzero"`
}

// SASL is how a serve authenticates to Kafka.
type SASL struct {
	Mechanism string `json:"mechanism"`
	Username  string `json:"username"`
	Password  string `json:"password"`
}

// address is where this process and its servers are.
func (p *program) address(api, ops string) Address {
	k := p.servers.Kafka
	a := Address{
		PID: os.Getpid(), HTTP: api, Ops: ops,
		Brokers: k.Brokers, Database: p.servers.DatabaseURL, Redis: p.servers.Redis,
		Topic: p.topic.Name, TopicID: p.topic.ID, RedisPrefix: p.cfg.Redis.Prefix,
		MaxParked: p.cfg.Projections.MaxParked,
	}
	if k.TLS {
		a.TLS = &TLSFiles{CA: absolute(k.TLSCA), Cert: absolute(k.TLSCert), Key: absolute(k.TLSKey)}
	}
	if k.Mechanism != "" {
		a.SASL = &SASL{Mechanism: k.Mechanism, Username: k.Username, Password: k.Password}
	}
	return a
}

// absolute leaves a path as it is when there is none, or no current directory.
func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// Kafka is the configuration by which a command reaches the log of this serve. An address file that
// an earlier version wrote names no topic, so that of the given configuration counts.
func (a Address) Kafka(given config.Kafka) config.Kafka {
	given.Brokers, given.Topic = a.Brokers, cmp.Or(a.Topic, given.Topic)
	if a.TLS != nil {
		given.TLS, given.TLSCA, given.TLSCert, given.TLSKey = true, a.TLS.CA, a.TLS.Cert, a.TLS.Key
	}
	if a.SASL != nil {
		given.Mechanism = a.SASL.Mechanism
		given.Username, given.Password = a.SASL.Username, a.SASL.Password
	}
	return given
}

const addressFile = "serve.json"

// Write makes the process known to commands that are given the data directory.
func (a Address) Write(dir string) error {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode address file: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	file := filepath.Join(dir, addressFile)
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		return fmt.Errorf("write address file: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write address file: %w", err)
	}
	return nil
}

// RemoveAddress makes it unknown again. The file of a killed process stays and names a process
// that no longer runs.
func RemoveAddress(dir string) { _ = os.Remove(filepath.Join(dir, addressFile)) }

// ReadAddress finds the serve that runs on a data directory. Its error says what to do when there
// is none.
func ReadAddress(dir string) (Address, error) {
	var a Address
	b, err := os.ReadFile(filepath.Join(dir, addressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("no schoolbell serve runs on the data directory %s (give another "+
			"with --data, or start one)", dir)
	}
	if err != nil {
		return a, fmt.Errorf("read address file: %w", err)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("read address file: %w", err)
	}
	return a, nil
}

// IsDataDir reports whether a directory is the data directory of a serve, including one that is
// still starting.
func IsDataDir(dir string) bool {
	marks := []string{config.SecretFile, devstack.LockFile, addressFile}
	return slices.ContainsFunc(marks, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	})
}
