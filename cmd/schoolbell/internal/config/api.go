package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// API is how the API behaves.
type API struct {
	WaitLimit   time.Duration `env:"WAIT_LIMIT" default:"2s" help:"How long a read waits for the position it requires."`
	AppendLimit time.Duration `env:"APPEND_LIMIT" default:"10s" help:"How long a producer waits for the log."`
	EventRate   float64       `env:"EVENT_RATE" default:"50000" help:"Events per second that one token may publish, with bursts of two seconds' worth."`
	RequestRate float64       `env:"REQUEST_RATE" default:"500" help:"Requests per second of one school, other than events, with bursts of two seconds' worth."`
	Reads       int           `env:"READS" default:"4" help:"Reads of one school that run at the same time; others wait a second for their turn."`
	Connections int           `env:"CONNECTIONS" default:"10000" help:"Maximum open connections; further ones wait."`
	Origins     []string      `env:"ORIGINS" placeholder:"URL" help:"Origins of browser pages that may call the API, for example https://app.school.example."`
	Webhooks    []string      `name:"webhook-origins" env:"WEBHOOK_ORIGINS" placeholder:"HOST" help:"Systems that may push events as webhooks of CloudEvents, by the name that they give in the handshake, for example eventgrid.azure.net; * allows any. Each delivery needs a token all the same."`
	BehindTLS   bool          `name:"behind-tls" env:"BEHIND_TLS" help:"A proxy in front terminates TLS; browsers are told to use only HTTPS."`
}

// Config returns the configuration of package httpapi.
func (a API) Config(version string) httpapi.Config {
	return httpapi.Config{
		Version:        version,
		WaitLimit:      a.WaitLimit,
		AppendLimit:    a.AppendLimit,
		EventRate:      a.EventRate,
		RequestRate:    a.RequestRate,
		ReadsPerSchool: a.Reads,
		AllowedOrigins: a.Origins,
		WebhookOrigins: a.Webhooks,
		BehindTLS:      a.BehindTLS,
	}
}

func (a API) validate() error {
	err := a.Config("").Validate()
	if a.Reads < 1 {
		err = errors.Join(err, fmt.Errorf("api-reads: %d is less than 1", a.Reads))
	}
	if a.Connections < 1 {
		err = errors.Join(err, fmt.Errorf("api-connections: %d is less than 1", a.Connections))
	}
	return err
}
