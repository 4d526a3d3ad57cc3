package simulate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
)

// DemoSchool is the id of the demonstration school.
const DemoSchool = "demo"

// Demo is a school whose year is under way: its past is written at once, and from then on events
// happen, at any time of day.
//
// On a school day, the day's own events come first, then minor ones for as long as the day lasts:
// marks of a quiz, corrected marks, meals. They name the same few facts again and again, so that
// the log grows but the tables do not.
//
// The progress of the demonstration is stored in a file. After a stop it catches up on the days
// that it missed and continues; the last few events, if they were not recorded, are published again
// with the same ids.
type Demo struct {
	State    string // path of the file
	Students int    // 0 is 240
	Seed     uint64
	Every    time.Duration // pause between two events; 0 is half a second
	// Publish writes events of the school to the log, in order. When it fails it is called again
	// with the same events.
	Publish func(ctx context.Context, school string, events []*domain.Envelope) error
	Logger  *slog.Logger
}

const (
	// demoPast is how long before its first start a demonstration's year began.
	demoPast = 16 * 7
	// demoCountry is the index of the country that the school is in.
	demoCountry = 4
	// demoBatch is how many events of the past are published at once.
	demoBatch = 500
	// saveEvery is how often the progress is written while single events are published.
	saveEvery = 5 * time.Second
)

// progress is what the file holds: the year's first day, and how many events of which day have been
// published.
type progress struct {
	Start  domain.Date `json:"start"`
	Day    domain.Date `json:"day"`
	Played int         `json:"played"`
}

// Run plays the demonstration until ctx ends.
func (d Demo) Run(ctx context.Context) error {
	if d.Students == 0 {
		d.Students = 240
	}
	if d.Every == 0 {
		d.Every = 500 * time.Millisecond
	}
	p := &play{Demo: d}
	if err := p.load(); err != nil {
		return err
	}
	err := p.run(ctx)
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, p.save())
}

// play is a demonstration that is running.
type play struct {
	Demo
	progress progress
	saved    time.Time
	school   *School
	today    domain.Date
	list     []*domain.Envelope // the events of today by the year's plan
}

func (p *play) run(ctx context.Context) error {
	ticker := time.NewTicker(p.Every)
	defer ticker.Stop()
	for {
		if today := domain.DateOf(time.Now().UTC()); today != p.today {
			if err := p.turnTo(ctx, today); err != nil {
				return err
			}
		}
		if err := p.next(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// turnTo publishes the rest of the days before today, and prepares today.
func (p *play) turnTo(ctx context.Context, today domain.Date) error {
	if p.school != nil {
		if err := p.rest(ctx); err != nil {
			return err
		}
	}
	p.list, p.today = nil, today
	if p.school == nil || p.school.done() {
		p.open(today)
	}
	for !p.school.done() && p.school.calendar.days[p.school.index] <= today {
		day := p.school.calendar.days[p.school.index]
		p.list = p.list[:0]
		p.school.day(func(e *domain.Envelope) bool {
			p.list = append(p.list, e)
			return true
		})
		switch {
		case day < p.progress.Day:
			p.list = nil
			continue
		case day > p.progress.Day:
			p.progress.Day, p.progress.Played = day, 0
		}
		if day < today {
			if err := p.rest(ctx); err != nil {
				return err
			}
		}
	}
	if p.progress.Day < today {
		p.progress.Day, p.progress.Played, p.list = today, 0, nil
	}
	return p.save()
}

// open begins a year, or continues the one that is under way.
func (p *play) open(today domain.Date) {
	if p.progress.Start.IsZero() {
		p.progress.Start = today.AddDays(-demoPast)
	}
	year := newCalendar(p.progress.Start)
	if today > year.days[MaxDays-1] {
		p.progress = progress{Start: today}
		year = newCalendar(today)
	}
	c := Config{Schools: 1, Students: p.Students, Days: MaxDays, Seed: p.Seed}
	p.school = newSchool(c, year, DemoSchool, demoCountry, DemoSchool+"/"+p.progress.Start.String())
}

// rest publishes the rest of the current day.
func (p *play) rest(ctx context.Context) error {
	for p.progress.Played < len(p.list) {
		n := min(p.progress.Played+demoBatch, len(p.list))
		if err := p.publish(ctx, p.list[p.progress.Played:n]); err != nil {
			return err
		}
		p.progress.Played = n
	}
	return nil
}

// next publishes the next event of today: one of the plan, or then a minor one.
func (p *play) next(ctx context.Context) error {
	var events []*domain.Envelope
	if n := p.progress.Played; n < len(p.list) {
		events = p.list[n : n+1]
	} else {
		events = p.minorEvents(n - len(p.list))
	}
	for _, e := range events {
		e.Time = time.Now().UTC().Truncate(time.Millisecond)
	}
	if err := p.publish(ctx, events); err != nil {
		return err
	}
	p.progress.Played++
	if time.Since(p.saved) < saveEvery {
		return nil
	}
	return p.save()
}

// publish retries until it succeeds: the log may be unavailable for a while.
func (p *play) publish(ctx context.Context, events []*domain.Envelope) error {
	if len(events) == 0 {
		return nil
	}
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval = p.Every, 10*time.Second
	for {
		err := p.Publish(ctx, DemoSchool, events)
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause := retry.NextBackOff()
		p.Logger.WarnContext(ctx, "cannot publish events of the demonstration, will retry",
			"error", err, "in", pause)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func (p *play) load() error {
	b, err := os.ReadFile(p.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read state of the demonstration: %w", err)
	}
	if err := json.Unmarshal(b, &p.progress); err != nil {
		p.progress = progress{} // ids do not depend on it, so it can begin again
	}
	return nil
}

func (p *play) save() error {
	b, err := json.Marshal(p.progress)
	if err != nil {
		return fmt.Errorf("encode state of the demonstration: %w", err)
	}
	if err := os.WriteFile(p.State+".new", b, 0o600); err != nil {
		return fmt.Errorf("write state of the demonstration: %w", err)
	}
	if err := os.Rename(p.State+".new", p.State); err != nil {
		return fmt.Errorf("write state of the demonstration: %w", err)
	}
	p.saved = time.Now()
	return nil
}
