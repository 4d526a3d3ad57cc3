package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// API is how the API behaves.
type API struct {
	WaitLimit   time.Duration `env:"WAIT_LIMIT" default:"2s" help:"How long a read waits for the position that it names."`
	AppendLimit time.Duration `env:"APPEND_LIMIT" default:"10s" help:"How long a producer waits for the log."`
	EventRate   float64       `env:"EVENT_RATE" default:"50000" help:"Events a second that a token may send."`
	Connections int           `env:"CONNECTIONS" default:"10000" help:"Connections that are held open at most; further ones wait."`
	Origins     []string      `env:"ORIGINS" placeholder:"URL" help:"Origins of browser pages that may call the API from elsewhere."`
	BehindTLS   bool          `name:"behind-tls" env:"BEHIND_TLS" help:"A proxy in front speaks TLS; browsers are told to stay with it."`
}

// Config returns the configuration of package httpapi.
func (a API) Config(version string) httpapi.Config {
	return httpapi.Config{
		Version:        version,
		WaitLimit:      a.WaitLimit,
		AppendLimit:    a.AppendLimit,
		EventRate:      a.EventRate,
		AllowedOrigins: a.Origins,
		BehindTLS:      a.BehindTLS,
	}
}

func (a API) validate() error {
	err := a.Config("").Validate()
	if a.Connections < 1 {
		err = errors.Join(err, fmt.Errorf("http connections: %d are too few", a.Connections))
	}
	return err
}
