package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/simulate"
)

// demo plays the term of one made-up school: what is long past at once, the last weeks at a day every few seconds, and
// from then on each event when its time has come.
type demo struct {
	file string // remembers how far it has got
	at   demoState
}

type demoState struct {
	Start     domain.Date `json:"start"`     // of the school year
	Published int         `json:"published"` // events
}

const (
	demoStudents = 420
	demoBefore   = 26 * 7 // days that the year has been going on for when it is first played
	demoQuick    = 42     // days before now that are played day by day
	demoDay      = 4 * time.Second
	demoStep     = 250 * time.Millisecond // what is due within it is published together
)

var demoSchool = simulate.SchoolID(0)

func openDemo(file string) (*demo, error) {
	d := &demo{file: file}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		d.at.Start = domain.DateOf(time.Now().AddDate(0, 0, -demoBefore))
		return d, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read demonstration: %w", err)
	}
	if err := json.Unmarshal(b, &d.at); err != nil {
		return nil, fmt.Errorf("read demonstration: %w", err)
	}
	return d, nil
}

// Run plays until ctx ends or the year does.
func (d *demo) Run(ctx context.Context, api *client.Client) error {
	year := simulate.Config{Schools: 1, Students: demoStudents, Days: simulate.MaxDays, Seed: 1, Start: d.at.Start}
	began := time.Now()
	played := 0
	var batch []*domain.Envelope
	for e := range year.School(0).Events() {
		if played++; played <= d.at.Published {
			continue
		}
		due := demoDue(e.Time, began)
		if wait := time.Until(due); wait > 0 || len(batch) == client.MaxEvents {
			if err := d.publish(ctx, api, batch); err != nil {
				return err
			}
			batch = batch[:0]
			if !waitUntil(ctx, due) {
				return nil
			}
		}
		batch = append(batch, e)
	}
	return d.publish(ctx, api, batch)
}

// demoDue is when an event is played, in a demonstration that began at a time: in quick motion until that has come up
// with the present, and never before it happens.
func demoDue(happens, began time.Time) time.Time {
	const speed = 24 * time.Hour / demoDay
	quick := began.Add(happens.Sub(began.AddDate(0, 0, -demoQuick)) / speed)
	due := quick
	if happens.After(quick) {
		due = happens
	}
	return due.Truncate(demoStep).Add(demoStep)
}

func (d *demo) publish(ctx context.Context, api *client.Client, events []*domain.Envelope) error {
	if len(events) == 0 {
		return nil
	}
	if _, err := api.Publish(ctx, demoSchool, events); err != nil {
		if ctx.Err() != nil {
			return nil // the rest is played the next time
		}
		return fmt.Errorf("play demonstration: %w", err)
	}
	d.at.Published += len(events)
	b, err := json.Marshal(d.at)
	if err != nil {
		return fmt.Errorf("remember demonstration: %w", err)
	}
	if err := os.WriteFile(d.file, b, 0o600); err != nil {
		return fmt.Errorf("remember demonstration: %w", err)
	}
	return nil
}

func waitUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
