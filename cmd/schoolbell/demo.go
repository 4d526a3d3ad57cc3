package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/presence"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/client"
)

// greet shows a newcomer what to do next, and runs the demonstration until ctx ends.
func (c *serveCommand) greet(
	ctx context.Context, out io.Writer, log *slog.Logger, at program.Address,
) error {
	if !c.Has(config.RoleAPI) {
		return nil // there is nothing to query
	}
	tokens, err := c.JWT.Config(c.Data)
	if err != nil {
		return err
	}
	if tokens.Secret == "" {
		return nil // an identity provider issues the tokens
	}
	lines := fmt.Appendf(nil, "eval \"$(schoolbell env --data=%s)\"\n", c.Data)
	if isTerminal(out) { // else it is the log of a service, which must have no token in it
		token, err := adminToken(tokens.Secret, at.School)
		if err != nil {
			return err
		}
		lines = exportLines(at, token)
	}
	fmt.Fprintf(out, `
Schoolbell is at %[1]s (documentation at %[1]s/docs, health at %[2]s/readyz)

An administrator's token for %[3]s; "schoolbell env" prints these lines for another terminal:

%[4]s
A first query:

curl -s -H "Authorization: Bearer $SCHOOLBELL_TOKEN" $SCHOOLBELL_URL/v1/schools/%[3]s/analytics/overview

`, at.HTTP, at.Ops, at.School, lines)
	if sources, err := c.Inboxes.Sources(); err == nil && len(sources) > 0 && c.Has(config.RoleIngest) {
		fmt.Fprintf(out, "Kafka clients write events to the topic %s at %s (docs/PRODUCERS.md)%s.\n\n",
			sources[0].Topic, strings.Join(at.Brokers, ","), c.signIn(at))
	}
	if c.Channels.SMS.Account == "" || c.Channels.Mail.Host == "" || c.Channels.Push.Key == "" {
		fmt.Fprintf(out, "Messages are not sent, but collected at %s/outbox (sign in with the token).\n\n", at.HTTP)
	}
	if !c.Demo {
		return nil
	}
	return c.play(ctx, log, at, tokens.Secret)
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// signIn says where clients find the password of the embedded Kafka. Brokers that were given have
// credentials of their own, which are no business of a banner.
func (c *serveCommand) signIn(at program.Address) string {
	if at.SASL == nil || len(c.Kafka.Brokers) > 0 {
		return ""
	}
	return fmt.Sprintf(",\nwith SASL %s, the user %s and the password that is kafka_sasl in %s",
		at.SASL.Mechanism, at.SASL.Username, filepath.Join(c.Data, "serve.json"))
}

// play publishes the term of the demonstration school as if it happened now.
func (c *serveCommand) play(
	ctx context.Context, log *slog.Logger, at program.Address, secret string,
) error {
	now := time.Now()
	token, err := auth.Mint(secret, auth.Principal{
		Subject: "demo-player", School: at.School, Roles: []string{"admin"},
		Expires: now.AddDate(10, 0, 0), // outlives any serve
	}, now)
	if err != nil {
		return err
	}
	api, err := client.New(client.Config{URL: at.HTTP, Token: token})
	if err != nil {
		return err
	}
	defer api.Close()
	if err := configureDemo(ctx, api); err != nil {
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

// demoAbsenceAge is how many days old an absence may be to be reported in the demonstration: longer
// than a simulated school has holidays.
const demoAbsenceAge = 21

// configureDemo stores the first settings of the demonstration school. The defaults would report
// almost nothing of a term that was simulated just now: report cards of a finished term are too
// late, and so are absences when the demonstration starts on a Sunday or in the holidays.
func configureDemo(ctx context.Context, api *client.Client) error {
	err := api.Put(ctx, "/v1/schools/"+simulate.DemoSchool+"/settings", `"0"`, consumers.Settings{
		Name: "Demonstration School", Rules: map[string]consumers.Rule{
			"results": {MaxAge: -1}, "absence": {MaxAge: demoAbsenceAge},
		},
		Attendance: presence.Rules{Mode: presence.ModeAll},
	})
	if p, ok := errors.AsType[*client.Problem](err); ok && p.Status == http.StatusPreconditionFailed {
		return nil // the settings have been changed before
	}
	return err
}
