package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/schoolbell/schoolbell/internal/client"
)

type publishCommand struct {
	remote `embed:""`

	File string `arg:"" default:"-" help:"NDJSON of structured CloudEvents, each with its school; - reads standard input."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*publishCommand) Help() string {
	return `Each line is one event; the events of one school keep their order. Publishing a file again changes
nothing, as long as its events are among the last million of their partition. A server takes the events
of a school as fast as it processes them; publishing waits, and goes on.

Examples:

  schoolbell publish events.ndjson
  schoolbell simulate --print | schoolbell publish
  echo '{"specversion":"1.0","id":"1","source":"sis","type":"schoolbell.student.class_changed.v1",
    "school":"school-001","subject":"s1","time":"2026-09-07T08:05:00Z",
    "data":{"student_id":"s1","class_id":"7a","on":"2026-09-07"}}' | jq -c . | schoolbell publish`
}

func (c *publishCommand) Run(ctx context.Context, io streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	in := io.in
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("open events: %w", err)
		}
		defer file.Close()
		in = file
	}
	bar := progress(io.err, -1, "events", false)
	began := time.Now()
	totals, err := api.Stream(ctx, func(t client.Totals) { _ = bar.Set(t.Events) },
		func(s *client.Stream) error { return client.ReadLines(in, "", s.SendRaw) })
	_ = bar.Finish()
	if err != nil {
		return errors.Join(err, fmt.Errorf("%d events are in the log", totals.Events))
	}
	return printTotals(io.out, c.JSON, totals, time.Since(began))
}
