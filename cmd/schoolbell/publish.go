package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/internal/client"
)

type publishCommand struct {
	remote `embed:""`

	File string `arg:"" default:"-" help:"NDJSON of structured CloudEvents, each with its school; - is standard input."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*publishCommand) Help() string {
	return `Each line is one event. The events of one school keep their order. Publishing a file again changes nothing, as long
as its events are among the last million of their partition.

Example:

  schoolbell publish <<'END'
  {"specversion":"1.0","id":"1","source":"sis","type":"schoolbell.student.class_changed.v1","school":"school-001","subject":"s1","time":"2026-09-07T08:05:00Z","data":{"student_id":"s1","class_id":"7a","on":"2026-09-07"}}
  END`
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
	began := time.Now()
	totals, err := api.Stream(ctx, nil, func(s *client.Stream) error { return sendLines(s, in) })
	if err != nil {
		return errors.Join(err, fmt.Errorf("%d events are in the log", totals.Events))
	}
	return printTotals(io.out, c.JSON, totals, time.Since(began))
}

// sendLines sends NDJSON. Only the school is looked at here; all else is for the server to judge.
func sendLines(s *client.Stream, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), client.MaxBytes)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var event struct {
			School string `json:"school"`
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if event.School == "" {
			return fmt.Errorf("line %d: the event has no school", n)
		}
		if err := s.SendRaw(event.School, n, line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return nil
}
