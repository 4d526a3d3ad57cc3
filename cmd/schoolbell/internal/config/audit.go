package config

import (
	"fmt"
	"time"
)

// Audit is how it is recorded who reads what.
type Audit struct {
	Required bool          `env:"REQUIRED" help:"Refuse reads that cannot be recorded, instead of serving them when PostgreSQL has taken no records for long."`
	Keep     time.Duration `env:"KEEP" default:"9600h" help:"How long it is stored who read what; 9600h are 400 days."`
}

func (a Audit) validate() error {
	if a.Keep < time.Hour {
		return fmt.Errorf("audit-keep: %v is shorter than an hour", a.Keep)
	}
	return nil
}
