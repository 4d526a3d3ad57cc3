package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

type serveCommand struct {
	config.Config `embed:""`

	Demo bool `help:"Add a demonstration school whose term plays itself."`
}

func (*serveCommand) Help() string {
	return `Kafka, PostgreSQL and Redis are embedded, with their data in --data, unless you name real ones:

  schoolbell serve --demo
  SCHOOLBELL_KAFKA_BROKERS=kafka:9092 \
  SCHOOLBELL_DATABASE_URL=postgres://schoolbell:secret@db/schoolbell \
  SCHOOLBELL_REDIS_URL=redis://cache:6379/0 schoolbell serve --roles=ingest,api

A first interrupt finishes what has been accepted, a second one stops at once.`
}

func (c *serveCommand) Run(ctx context.Context, io streams) error {
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	log := telemetry.NewLogger(io.err, c.Log.Config())
	if c.Demo && !(c.Has(config.RoleIngest) && c.Has(config.RoleAPI)) {
		return usageError{errors.New("--demo needs the roles ingest and api")}
	}
	began := time.Now()
	started := make(chan program.Address, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(started)
		return program.Run(ctx, &c.Config, log, func(at program.Address) { started <- at })
	})
	g.Go(func() error {
		at, ok := <-started
		if !ok {
			return nil // it has not started, and says why
		}
		if err := at.Write(c.Data); err != nil {
			if c.Embedded() {
				return err
			}
			log.WarnContext(ctx, "other commands will not find this process", "error", err) // as on a read-only disk
		}
		defer program.RemoveAddress(c.Data)
		log.InfoContext(ctx, "serve", "http", at.HTTP, "ops", at.Ops, "roles", c.Roles, "started_in", time.Since(began).Round(time.Millisecond))
		if err := c.greet(ctx, io.out, log, at); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	return g.Wait()
}

// greet shows a newcomer what to do next, and plays the demonstration.
func (c *serveCommand) greet(ctx context.Context, out io.Writer, log *slog.Logger, at program.Address) error {
	if !c.Has(config.RoleAPI) {
		return nil // there is nothing to ask
	}
	tokens, err := c.JWT.Config(c.Data)
	if err != nil {
		return err
	}
	if tokens.Secret == "" {
		return nil // tokens come from elsewhere
	}
	now := time.Now()
	school := "my-school"
	if c.Demo {
		school = simulate.DemoSchool
	}
	token, err := auth.Mint(tokens.Secret, auth.Principal{
		Subject: "demo", School: school, Roles: []string{"admin"}, Expires: now.Add(24 * time.Hour),
	}, now)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `
Schoolbell is at %[1]s (documentation at %[1]s/docs, health at %[2]s/readyz)

A token for %[3]s, for a day:

  export SCHOOLBELL_URL=%[1]s
  export SCHOOLBELL_TOKEN=%[4]s

Ask it something:

  curl -s -H "Authorization: Bearer $SCHOOLBELL_TOKEN" $SCHOOLBELL_URL/v1/schools/%[3]s/analytics/overview

`, at.HTTP, at.Ops, school, token)
	if c.Channels.SMS.Account == "" || c.Channels.Mail.Host == "" || c.Channels.Push.Key == "" {
		fmt.Fprintf(out, "See what would have been sent (it asks for the token): %s/outbox\n\n", at.HTTP)
	}
	if !c.Demo {
		return nil
	}
	players, err := auth.Mint(tokens.Secret, auth.Principal{
		Subject: "demo-player", School: school, Roles: []string{"admin"}, Expires: now.AddDate(10, 0, 0), // as long as serve runs
	}, now)
	if err != nil {
		return err
	}
	api, err := client.New(client.Config{URL: at.HTTP, Token: players})
	if err != nil {
		return err
	}
	defer api.Close()
	if err := decideForDemo(ctx, api); err != nil {
		return err
	}
	return simulate.Demo{
		State: filepath.Join(c.Data, "demo.json"),
		Publish: func(ctx context.Context, school string, events []*domain.Envelope) error {
			_, err := api.Publish(ctx, school, events)
			return err
		},
		Logger: log,
	}.Run(ctx)
}

// demoAbsences is how many days old absences may be: longer than a simulated school has holidays.
const demoAbsences = 21

// decideForDemo makes the first settings of the demonstration school. Its report cards are made although the term is over
// when the demonstration begins, and absences are told of for three weeks, so that there are some to look at at once, also
// on a Sunday and in the holidays.
func decideForDemo(ctx context.Context, api *client.Client) error {
	err := api.Put(ctx, "/v1/schools/"+simulate.DemoSchool+"/settings", `"0"`, consumers.Settings{
		Name: "Demonstration School", Rules: map[string]consumers.Rule{"results": {MaxAge: -1}, "absence": {MaxAge: demoAbsences}},
	})
	if p, ok := errors.AsType[*client.Problem](err); ok && p.Status == http.StatusPreconditionFailed {
		return nil // somebody has decided before
	}
	return err
}
