package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/devstack"
)

// Servers says where Kafka, PostgreSQL and Redis are, and holds those of them that are embedded.
type Servers struct {
	Kafka       config.Kafka // as it is configured, or how to reach the embedded one
	DatabaseURL string
	Redis       string

	kafka    *devstack.Kafka // nil when the configuration names one; likewise below
	postgres *devstack.Postgres
	cache    *devstack.Redis
	lock     *devstack.Lock
}

// StartServers starts the servers that the configuration does not name. Stop ends them.
func StartServers(
	ctx context.Context, cfg *config.Config, log *slog.Logger,
) (_ *Servers, err error) {
	s := &Servers{Kafka: cfg.Kafka, DatabaseURL: cfg.Database.URL, Redis: cfg.Redis.URL}
	if !cfg.Embedded() {
		return s, nil
	}
	if !devstack.Embedded {
		return s, ConfigError{errors.New("this build contains no embedded servers: set " +
			"SCHOOLBELL_KAFKA_BROKERS, SCHOOLBELL_DATABASE_URL and SCHOOLBELL_REDIS_URL")}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return s, fmt.Errorf("create data directory: %w", err)
	}
	if s.lock, err = devstack.LockDir(cfg.Data); err != nil {
		return s, err
	}
	password, err := cfg.EmbeddedPassword()
	if err != nil {
		return s, err
	}
	if len(cfg.Kafka.Brokers) == 0 {
		s.kafka, err = devstack.StartKafka(devstack.KafkaConfig{
			Dir: cfg.Dir("kafka"), Sync: true, Password: password,
		})
		if err != nil {
			return s, err
		}
		s.Kafka.Brokers = s.kafka.Brokers()
		s.Kafka.Mechanism, s.Kafka.Username = devstack.KafkaMechanism, devstack.KafkaUser
		s.Kafka.Password = password
	}
	if s.DatabaseURL == "" {
		log.InfoContext(ctx, "start PostgreSQL", "dir", cfg.Dir("postgres"))
		s.postgres, err = devstack.StartPostgres(
			ctx, devstack.PostgresConfig{Dir: cfg.Dir("postgres")},
		)
		if err != nil {
			return s, err
		}
		s.DatabaseURL = s.postgres.URL()
	}
	if s.Redis == "" {
		if len(cfg.Kafka.Brokers) > 0 {
			log.WarnContext(
				ctx,
				"Redis is embedded although brokers are given: other processes do not see this one's "+
					"messages; give all of them the same Redis (SCHOOLBELL_REDIS_URL)",
			)
		}
		if s.cache, err = devstack.StartRedis(password); err != nil {
			return s, err
		}
		s.Redis = s.cache.URL()
	}
	return s, nil
}

var errPostgresEnded = errors.New("embedded PostgreSQL ended")

// Run runs the embedded servers until ctx ends, or one of them does.
func (s *Servers) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if s.cache != nil {
		g.Go(func() error { return s.cache.Run(ctx) })
	}
	if s.postgres != nil {
		g.Go(func() error {
			select {
			case <-ctx.Done():
				return nil
			case <-s.postgres.Done():
				return errPostgresEnded
			}
		})
	}
	return g.Wait()
}

// Stop ends the embedded servers, in no hurry.
func (s *Servers) Stop() error { return s.StopWithin(devstack.PostgresStop) }

// StopWithin ends the embedded servers, those that hold data last.
func (s *Servers) StopWithin(limit time.Duration) error {
	var err error
	if s.cache != nil {
		s.cache.Stop()
	}
	if s.postgres != nil {
		err = s.postgres.StopWithin(limit)
	}
	if s.kafka != nil {
		s.kafka.Stop()
	}
	if s.lock != nil {
		s.lock.Release()
	}
	return err
}
