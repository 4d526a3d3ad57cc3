package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/client"
)

type simulateCommand struct {
	remote `embed:""`

	Schools  int     `default:"1" placeholder:"N" help:"Number of schools."`
	Students int     `default:"300" placeholder:"N" help:"Students of each school."`
	Days     int     `default:"60" placeholder:"N" help:"Number of school days."`
	Seed     uint64  `default:"1" placeholder:"N" help:"Seed; the same seed gives the same events."`
	Start    string  `placeholder:"DATE" help:"The school year begins on the first Monday on or after this date."`
	Rate     float64 `placeholder:"R" help:"Events per second (default: unlimited)."`
	Print    bool    `help:"Print the events as NDJSON instead of publishing them."`
	JSON     bool    `name:"json" help:"Print JSON."`
}

func (*simulateCommand) Help() string {
	return `Simulates school years: classes and sections, families, attendance with its seasons, marks by ability,
fees with late payers. No data is real. By default it publishes about 28,000 events of one school.

Examples:

  schoolbell simulate --students 800 --days 120
  schoolbell simulate --schools 1000 --days 5 --rate 5000
  schoolbell simulate --print > events.ndjson`
}

func (c *simulateCommand) Run(ctx context.Context, io streams) error {
	sim := simulate.Config{Schools: c.Schools, Students: c.Students, Days: c.Days, Seed: c.Seed}
	if c.Start != "" {
		start, err := domain.ParseDate(c.Start)
		if err != nil {
			return usageError{fmt.Errorf("--start: %w", err)}
		}
		sim.Start = start
	}
	if err := sim.Validate(); err != nil {
		return usageError{err}
	}
	if c.Rate < 0 {
		return usageError{errors.New("--rate must not be negative")}
	}
	if c.Print {
		return printEvents(io.out, sim.Events())
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()

	limit := rate.NewLimiter(rate.Inf, 0)
	if c.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(c.Rate), max(1, int(c.Rate/100)))
	}
	bar := progress(io.err, -1, "events", false)
	began := time.Now()
	totals, err := api.Stream(ctx, func(t client.Totals) { _ = bar.Set(t.Events) }, func(s *client.Stream) error {
		for e := range sim.Events() {
			if err := limit.Wait(ctx); err != nil {
				return err
			}
			if err := s.Send(e); err != nil {
				return err
			}
		}
		return nil
	})
	_ = bar.Finish()
	if err != nil {
		return errors.Join(err, fmt.Errorf("%d events are in the log", totals.Events))
	}
	return printTotals(io.out, c.JSON, totals, time.Since(began))
}
