package config

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/redis"
)

// Kafka is the cluster that holds the log.
type Kafka struct {
	Brokers     []string      `env:"BROKERS" placeholder:"HOST:PORT" help:"Brokers of the cluster."`
	Topic       string        `env:"TOPIC" default:"schoolbell.events" help:"Topic of the log. It is created if it does not exist."`
	Partitions  int32         `env:"PARTITIONS" default:"12" help:"Partitions of a new topic, which can never be changed; 0 requires an existing topic."`
	Replication int16         `env:"REPLICATION" default:"0" help:"Replicas of a new topic; 0 is the brokers' default."`
	Retention   time.Duration `env:"RETENTION" default:"0s" help:"How long a new topic retains events; 0s is unlimited. Once events have expired, tables cannot be rebuilt from the log."`
	TLS         bool          `name:"tls" env:"TLS" help:"Encrypt connections."`
	TLSCA       string        `name:"tls-ca" env:"TLS_CA" placeholder:"FILE" help:"PEM certificates to trust (default: the system's)."`
	TLSCert     string        `name:"tls-cert" env:"TLS_CERT" placeholder:"FILE" help:"PEM client certificate."`
	TLSKey      string        `name:"tls-key" env:"TLS_KEY" placeholder:"FILE" help:"PEM key of the client certificate."`
	Mechanism   string        `name:"sasl-mechanism" env:"SASL_MECHANISM" placeholder:"NAME" help:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty disables SASL."`
	Username    string        `name:"sasl-username" env:"SASL_USERNAME" placeholder:"NAME" help:"SASL user name."`
	Password    string        `name:"sasl-password" env:"SASL_PASSWORD" placeholder:"SECRET" secret:"" help:"SASL password; prefer the variable to the flag."`
	Session     time.Duration `env:"SESSION" default:"6s" help:"How long a process may be silent before its partitions are reassigned."`
}

// Config returns the configuration of package kafka.
func (k Kafka) Config() (kafka.Config, error) {
	c := kafka.Config{
		Brokers:     k.Brokers,
		Topic:       k.Topic,
		Partitions:  k.Partitions,
		Replication: k.Replication,
		Retention:   k.Retention,
		Session:     k.Session,
	}
	if k.Mechanism != "" {
		c.SASL = &kafka.SASL{Mechanism: k.Mechanism, Username: k.Username, Password: k.Password}
	}
	var err error
	if k.TLS {
		c.TLS, err = k.tls()
	}
	return c, err
}

func (k Kafka) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	var faults []error
	if k.TLSCA != "" {
		pem, err := os.ReadFile(k.TLSCA)
		c.RootCAs = x509.NewCertPool()
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("kafka-tls-ca: %w", err))
		case !c.RootCAs.AppendCertsFromPEM(pem):
			faults = append(faults, fmt.Errorf("kafka-tls-ca: %s contains no certificate", k.TLSCA))
		}
	}
	if k.TLSCert != "" || k.TLSKey != "" {
		certificate, err := tls.LoadX509KeyPair(k.TLSCert, k.TLSKey)
		if err != nil {
			faults = append(faults, fmt.Errorf("kafka-tls-cert and kafka-tls-key: %w", err))
		}
		c.Certificates = []tls.Certificate{certificate}
	}
	return c, errors.Join(faults...)
}

func (k Kafka) validate() error {
	var faults []error
	if !k.TLS && (k.TLSCA != "" || k.TLSCert != "" || k.TLSKey != "") {
		faults = append(faults, errors.New("kafka-tls: certificates are given, but TLS is off"))
	}
	if k.Mechanism == "" && (k.Username != "" || k.Password != "") {
		faults = append(
			faults,
			errors.New("kafka-sasl-mechanism: required with a username or password"),
		)
	}
	if len(k.Brokers) == 0 {
		if k.TLS || k.Mechanism != "" {
			faults = append(
				faults,
				errors.New(
					"kafka-brokers: required with TLS or SASL; the embedded Kafka has a password of its own",
				),
			)
		}
		k.Brokers = []string{"embedded:0"}
	}
	c, err := k.Config()
	return errors.Join(append(faults, err, c.Validate())...)
}

// Database is the server that holds the tables.
type Database struct {
	URL     string `name:"url" env:"URL" placeholder:"postgres://…" secret:"" help:"PostgreSQL 15 or later. Its user owns the schema."`
	Migrate bool   `env:"MIGRATE" default:"true" negatable:"" help:"Migrate the schema at startup."`
}

// Sizes of the pools of one process. Queries get more on larger machines, since each runs on one
// processor of the database at a time; projections use one connection for each partition that
// commits, deliveries a few that claim and finish jobs in batches.
var queryConnections = int32(max(16, 4*runtime.GOMAXPROCS(0)))

const (
	projectorConnections = 16
	jobsConnections      = 12
	ingestConnections    = 4
	revokingConnections  = 2
	auditConnections     = 1
)

// API returns the configuration of the pool for queries.
func (d Database) API(url string) postgres.Config {
	return postgres.Config{URL: url, Role: postgres.API, MaxConns: queryConnections}
}

// Projector returns the configuration of the projections' pool.
func (d Database) Projector(url string) postgres.Config {
	return postgres.Config{
		URL: url, Role: postgres.Projector, MaxConns: projectorConnections, StatementTimeout: time.Minute,
	}
}

// Jobs returns the configuration of the pool for deliveries.
func (d Database) Jobs(url string) postgres.Config {
	return postgres.Config{
		URL: url, Role: postgres.Jobs, MaxConns: jobsConnections, AcquireTimeout: 5 * time.Second,
	}
}

// Ingest returns the configuration of the pool for positions of inboxes and dead letters.
func (d Database) Ingest(url string) postgres.Config {
	return postgres.Config{
		URL: url, Role: postgres.Jobs, MaxConns: ingestConnections, AcquireTimeout: 5 * time.Second,
	}
}

// Revocations returns the configuration of the pool for revoked tokens. It is apart from the others,
// so that a full pool of queries does not keep a revocation from being read.
func (d Database) Revocations(url string) postgres.Config {
	return postgres.Config{URL: url, Role: postgres.Jobs, MaxConns: revokingConnections}
}

// Audit returns the configuration of the pool for who reads what.
func (d Database) Audit(url string) postgres.Config {
	return postgres.Config{URL: url, Role: postgres.Jobs, MaxConns: auditConnections}
}

func (d Database) validate() error {
	return d.Projector(cmp.Or(d.URL, "postgres://embedded/")).Validate()
}

// Redis is the server of cached responses and of messages between processes.
type Redis struct {
	URL    string `name:"url" env:"URL" placeholder:"redis://…" secret:"" help:"Redis 6 or later, or Valkey."`
	Prefix string `env:"PREFIX" default:"sb" help:"Prefix of all keys. The id of the log follows it, so installations may share a Redis."`
}

// Config returns the configuration of package redis, for this address and the log with this id.
func (r Redis) Config(url, log string) redis.Config {
	return redis.Config{URL: url, Prefix: r.Prefix, Log: log}
}

func (r Redis) validate() error {
	return r.Config(cmp.Or(r.URL, "redis://embedded"), "").Validate()
}
