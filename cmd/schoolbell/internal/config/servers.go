package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/redis"
)

// Kafka is where the log is.
type Kafka struct {
	Brokers     []string      `env:"BROKERS" placeholder:"HOST:PORT" help:"Brokers of the cluster."`
	Topic       string        `env:"TOPIC" default:"schoolbell.events" help:"Topic that is the log. It is created if it does not exist."`
	Partitions  int32         `env:"PARTITIONS" default:"12" help:"Partitions of a new topic. They can never be changed; 0 takes an existing topic as it is."`
	Replication int16         `env:"REPLICATION" default:"0" help:"Copies of each record in a new topic; 0 leaves it to the brokers."`
	Retention   time.Duration `env:"RETENTION" default:"0s" help:"How long events are kept; 0s means for ever."`
	TLS         bool          `name:"tls" env:"TLS" help:"Encrypt connections."`
	TLSCA       string        `name:"tls-ca" env:"TLS_CA" placeholder:"FILE" help:"Certificates to trust, PEM; else the system's."`
	TLSCert     string        `name:"tls-cert" env:"TLS_CERT" placeholder:"FILE" help:"Client certificate, PEM."`
	TLSKey      string        `name:"tls-key" env:"TLS_KEY" placeholder:"FILE" help:"Key of the client certificate, PEM."`
	Mechanism   string        `name:"sasl-mechanism" env:"SASL_MECHANISM" placeholder:"NAME" help:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty means no SASL."`
	Username    string        `name:"sasl-username" env:"SASL_USERNAME" placeholder:"NAME" help:"Who Schoolbell is to the cluster."`
	Password    string        `name:"sasl-password" env:"SASL_PASSWORD" placeholder:"SECRET" secret:"" help:"And its password. Better given by the variable."`
	Session     time.Duration `env:"SESSION" default:"6s" help:"How long a process may be silent before its partitions go to others."`
}

// Config returns the configuration of package kafka, for these brokers.
func (k Kafka) Config(brokers []string) (kafka.Config, error) {
	c := kafka.Config{
		Brokers:     brokers,
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
			faults = append(faults, fmt.Errorf("kafka-tls-ca: %s holds no certificate", k.TLSCA))
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
		faults = append(faults, errors.New("kafka-tls: certificates are given but TLS is off"))
	}
	if k.Mechanism == "" && (k.Username != "" || k.Password != "") {
		faults = append(faults, errors.New("kafka-sasl-mechanism: is needed when there is a username or password"))
	}
	brokers := k.Brokers
	if len(brokers) == 0 {
		if k.TLS || k.Mechanism != "" {
			faults = append(faults, errors.New("kafka-brokers: TLS or SASL is set, but without brokers Kafka is embedded and takes neither"))
		}
		brokers = []string{"embedded:0"}
	}
	c, err := k.Config(brokers)
	return errors.Join(append(faults, err, c.Validate())...)
}

// Database is where the tables are.
type Database struct {
	URL         string `name:"url" env:"URL" placeholder:"postgres://…" secret:"" help:"PostgreSQL 14 or later. Its user makes the schema."`
	Connections int32  `env:"CONNECTIONS" default:"16" help:"Connections for queries at most; projections have as many of their own as they need, up to ${projectorConnections}."`
	Migrate     bool   `env:"MIGRATE" default:"true" negatable:"" help:"Bring the schema up to date at start."`
}

// ProjectorConnections are the most that the projections take.
const ProjectorConnections = 16

// API returns the configuration of the pool for queries.
func (d Database) API(url string) postgres.Config {
	return postgres.Config{URL: url, Role: postgres.API, MaxConns: d.Connections}
}

// Projector returns the configuration of the projections' pool.
func (d Database) Projector(url string) postgres.Config {
	return postgres.Config{URL: url, Role: postgres.Projector, MaxConns: ProjectorConnections, StatementTimeout: time.Minute}
}

// Jobs returns the configuration of the pool for deliveries.
func (d Database) Jobs(url string) postgres.Config {
	return postgres.Config{URL: url, Role: postgres.Jobs, MaxConns: jobsConnections, AcquireTimeout: 5 * time.Second}
}

// jobsConnections are the most that deliveries take.
const jobsConnections = 12

func (d Database) validate() error {
	var faults []error
	url := d.URL
	if url == "" {
		url = "postgres://embedded/"
	}
	if d.Connections < 1 {
		faults = append(faults, fmt.Errorf("database-connections: %d is less than 1", d.Connections))
	}
	return errors.Join(append(faults, d.Projector(url).Validate())...)
}

// Redis is where answers are kept.
type Redis struct {
	URL    string `name:"url" env:"URL" placeholder:"redis://…" secret:"" help:"Redis 6 or later, or Valkey."`
	Prefix string `env:"PREFIX" default:"sb" help:"Begins all keys. Systems that share a Redis need different ones."`
}

// Config returns the configuration of package redis, for this address.
func (r Redis) Config(url string) redis.Config {
	return redis.Config{URL: url, Prefix: r.Prefix}
}

func (r Redis) validate() error {
	url := r.URL
	if url == "" {
		url = "redis://embedded"
	}
	return r.Config(url).Validate()
}
