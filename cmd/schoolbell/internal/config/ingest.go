package config

import (
	"fmt"
	"time"
)

// Ingest says how events are let into the log.
type Ingest struct {
	MaxLag time.Duration `env:"MAX_LAG" default:"250ms" help:"How much work tables and planning may have before them because of schools with more than their share of a partition; beyond it these schools are taken as fast as they are read. 0 takes events as fast as they come."`
}

func (i Ingest) validate() error {
	if i.MaxLag < 0 {
		return fmt.Errorf("ingest-max-lag: %v is negative", i.MaxLag)
	}
	return nil
}
