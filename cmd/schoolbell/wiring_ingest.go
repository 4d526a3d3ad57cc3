package main

import (
	"context"
	"fmt"

	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// wireIngest lets events in and the log be read.
func (p *program) wireIngest(ctx context.Context, deps *httpapi.Deps) error {
	topic, err := p.events.Topic(ctx)
	if err != nil {
		return fmt.Errorf("describe the log: %w", err)
	}
	deps.Log, deps.Partitions = p.events, topic.Partitions
	return nil
}
