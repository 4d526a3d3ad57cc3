package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
)

// remote is the Schoolbell that a command calls over HTTP. On the machine of a serve it needs
// neither flag nor variable.
type remote struct {
	URL   string `name:"url" env:"SCHOOLBELL_URL" placeholder:"URL" help:"Address of Schoolbell (default: the serve on the data directory)."`
	Token string `env:"SCHOOLBELL_TOKEN" placeholder:"TOKEN" secret:"" help:"Token (default: an operator's, signed with the secret in the data directory)."`
	Data  string `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory of a running serve."`
}

func (r remote) client() (*client.Client, error) {
	c, err := r.target()
	if err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, usageError{err}
	}
	return client.New(c)
}

// target takes from the data directory what is not given.
func (r remote) target() (client.Config, error) {
	c := client.Config{URL: r.URL, Token: r.Token}
	if c.URL != "" && c.Token != "" {
		return c, nil
	}
	at, err := program.ReadAddress(r.Data)
	if err != nil {
		return c, fmt.Errorf("set SCHOOLBELL_URL and SCHOOLBELL_TOKEN: %w", err)
	}
	// A token of the local secret must not be sent to another address.
	if c.URL != "" && c.URL != at.HTTP {
		return c, usageError{errors.New("SCHOOLBELL_URL is set: set SCHOOLBELL_TOKEN too")}
	}
	c.URL = at.HTTP
	if c.Token == "" {
		c.Token, err = operatorToken(r.Data)
	}
	return c, err
}

// operatorToken signs a token for whoever can read the secret of the data directory.
func operatorToken(data string) (string, error) {
	tokens, err := config.JWT{}.Config(data)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return auth.Mint(tokens.Secret, auth.Principal{
		Subject: cmp.Or(os.Getenv("USER"), "cli"), School: auth.AllSchools,
		Roles: []string{"operator"}, Expires: now.Add(24 * time.Hour),
	}, now)
}

// tablesTarget is the database of a command that reads or changes tables directly.
type tablesTarget struct {
	DatabaseURL string `name:"database-url" env:"SCHOOLBELL_DATABASE_URL" placeholder:"postgres://…" secret:"" help:"Database (default: that of the serve on the data directory)."`
	Data        string `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory of a running serve."`
}

func (c tablesTarget) url() (string, error) {
	if c.DatabaseURL != "" {
		return c.DatabaseURL, nil
	}
	at, err := program.ReadAddress(c.Data)
	return at.Database, err
}

// with calls do with the store of the projections.
func (c tablesTarget) with(ctx context.Context, do func(*postgres.ProjectionStore) error) error {
	url, err := c.url()
	if err != nil {
		return err
	}
	set, err := projections.NewSet(catalog.All()...)
	if err != nil {
		return err
	}
	pool, err := postgres.NewPool(ctx, postgres.Config{
		URL: url, Role: postgres.Projector, MaxConns: 1,
	})
	if err != nil {
		return usageError{err}
	}
	defer pool.Close()
	return do(postgres.NewProjectionStore(pool, set, program.SetName))
}

// kafkaOf returns how to reach the log of a command: that of the serve on the data directory, unless
// brokers are given.
func kafkaOf(given config.Kafka, data string) (config.Kafka, error) {
	if len(given.Brokers) > 0 {
		return given, nil
	}
	at, err := program.ReadAddress(data)
	if err != nil {
		return given, err
	}
	if at.Topic != "" && given.Topic != at.Topic && given.Topic != kafka.DefaultTopic {
		return given, usageError{fmt.Errorf("the serve on the data directory %s has the topic "+
			"%s, not %s: for another log, give its brokers too (--kafka-brokers)",
			data, at.Topic, given.Topic)}
	}
	return at.Kafka(given), nil
}

// redisOf returns how to reach the Redis of a command, and which log's keys it holds there: those of
// the serve on the data directory, unless a URL is given. The id is empty when it is not known.
func redisOf(given config.Redis, data string) (_ config.Redis, logID string, err error) {
	if given.URL != "" {
		return given, "", nil
	}
	at, err := program.ReadAddress(data)
	given.URL, given.Prefix = at.Redis, cmp.Or(at.RedisPrefix, given.Prefix)
	return given, at.TopicID, err
}

// openLog opens the existing log of a command, which is never created by it, and makes sure that it
// has as many partitions as the database was made with.
func openLog(ctx context.Context, c config.Kafka, database string) (*kafka.Log, error) {
	cfg, err := c.Config()
	if err != nil {
		return nil, usageError{err}
	}
	cfg.Partitions = 0 // the topic must exist
	log, err := kafka.Open(ctx, cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return nil, err
	}
	topic, err := log.Topic(ctx)
	if err == nil {
		err = postgres.CheckLog(ctx, database, topic)
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}

// allPages gets all pages of a list. The function takes a page apart: what is on it, and what the
// next one comes after, nothing for the last.
func allPages[Page, Item any](
	ctx context.Context, api *client.Client, path string, query url.Values,
	items func(*Page) (found []Item, next string),
) (all []Item, err error) {
	for {
		var page Page
		if err := api.Get(ctx, path+"?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		found, next := items(&page)
		all = append(all, found...)
		if next == "" {
			return all, nil
		}
		query.Set("after", next)
	}
}
