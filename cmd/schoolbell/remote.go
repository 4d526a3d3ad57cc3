package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/client"
)

// remote is the Schoolbell that a command speaks to over HTTP.
type remote struct {
	URL   string `name:"url" env:"SCHOOLBELL_URL" placeholder:"URL" help:"Address of Schoolbell; else that of the serve on the data directory."`
	Token string `env:"SCHOOLBELL_TOKEN" placeholder:"TOKEN" help:"Token to use; else an operator's, signed with the secret of the data directory."`
	Data  string `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory of a serve on this machine."`
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

// target fills in from the data directory what is not given.
func (r remote) target() (client.Config, error) {
	c := client.Config{URL: r.URL, Token: r.Token}
	if c.URL != "" && c.Token != "" {
		return c, nil
	}
	at, err := program.ReadAddress(r.Data)
	if err != nil {
		return c, fmt.Errorf("set SCHOOLBELL_URL and SCHOOLBELL_TOKEN: %w", err)
	}
	if c.URL != "" && c.URL != at.HTTP {
		return c, usageError{errors.New("SCHOOLBELL_URL is set: set SCHOOLBELL_TOKEN too")}
	}
	c.URL = at.HTTP
	if c.Token == "" {
		c.Token, err = operatorToken(r.Data)
	}
	return c, err
}

// operatorToken signs a token for whoever can read the secret.
func operatorToken(data string) (string, error) {
	tokens, err := config.JWT{}.Config(data)
	if err != nil {
		return "", err
	}
	return signOperatorToken(tokens.Secret)
}

func signOperatorToken(secret string) (string, error) {
	now := time.Now()
	return auth.Mint(secret, auth.Principal{
		Subject: cmp.Or(os.Getenv("USER"), "cli"), School: auth.AllSchools, Roles: []string{"operator"}, Expires: now.Add(24 * time.Hour),
	}, now)
}

// progress shows a bar on a terminal, and nothing elsewhere. A total of -1 is not known.
func progress(w io.Writer, total int64, what string, bytes bool) *progressbar.ProgressBar {
	file, ok := w.(*os.File)
	info, err := os.Stderr.Stat()
	visible := ok && file == os.Stderr && err == nil && info.Mode()&os.ModeCharDevice != 0
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30),
	)
}

// printTotals tells how much has been published.
func printTotals(w io.Writer, asJSON bool, totals client.Totals, took time.Duration) error {
	if asJSON {
		return printJSON(w, totals)
	}
	rate := float64(totals.Events) / max(took.Seconds(), 1e-9)
	repeated := ""
	if totals.Duplicates > 0 { // others are only recognised when the log is read
		repeated = fmt.Sprintf(", %d of them repeated within their request", totals.Duplicates)
	}
	_, err := fmt.Fprintf(w, "%d events are in the log (%s, %.0f events/s%s)\n",
		totals.Events, quantity(totals.Requests, "request", "requests"), rate, repeated)
	return err
}
