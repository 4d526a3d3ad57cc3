package simulate_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
)

// stage is the log that a demonstration publishes to.
type stage struct {
	events []*domain.Envelope
	fail   int // how many of the next calls fail
}

func (s *stage) publish(_ context.Context, school string, events []*domain.Envelope) error {
	if s.fail > 0 {
		s.fail--
		return errors.New("log is unavailable")
	}
	for _, e := range events {
		if e.School != school {
			return errors.New("wrong school")
		}
		copied := *e
		s.events = append(s.events, &copied)
	}
	return nil
}

// play runs a demonstration for a while, in simulated time.
func (s *stage) play(t *testing.T, state string, d, every time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	demo := simulate.Demo{
		State: state, Students: 30, Every: every, Publish: s.publish,
		Logger: slog.New(slog.DiscardHandler),
	}
	require.NoError(t, demo.Run(ctx))
}

func TestDemoHasAPastAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s stage
		began := time.Now()
		s.play(t, filepath.Join(t.TempDir(), "demo.json"), time.Hour, 0)
		marked := make(map[domain.Date]int)
		past, live := 0, 0
		for _, e := range s.events {
			var f domain.Faults
			e.Data.Validate(&f)
			require.NoError(t, f.Err(), "%s %s", e.Type, e.ID)
			require.False(t, e.Time.After(time.Now()))
			if m, ok := e.Data.(*attendance.Marked); ok {
				marked[m.Date]++
			}
			if e.Time.Before(began) {
				require.Zero(t, live, "the past comes first")
				past++
			} else {
				live++
			}
		}
		require.Greater(t, len(marked), 60, "days of school")
		require.Greater(t, past, 60*28)
		require.InDelta(t, 7200, live, 800, "two events a second")
	})
}

// Unexcused absences, which texts follow from, come on days without school too.
func TestDemoHasAbsencesToTellOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s stage
		time.Sleep(24 * time.Hour) //nolint:forbidigo // in a bubble, this is the clock; it becomes a Sunday in the holidays
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		demo := simulate.Demo{
			State: filepath.Join(t.TempDir(), "demo.json"), Publish: s.publish,
			Logger: slog.New(slog.DiscardHandler),
		}
		require.NoError(t, demo.Run(ctx))
		past, live := 0, 0
		for _, e := range s.events {
			switch m := e.Data.(type) {
			case *attendance.Marked:
				if m.Status == attendance.AbsentUnexcused && m.Date > domain.DateOf(began).AddDays(-21) {
					past++
				}
			case *attendance.Corrected:
				if m.Status == attendance.AbsentUnexcused && !e.Time.Before(began) {
					live++
				}
			}
		}
		require.Positive(t, past, "of the three weeks before")
		require.Positive(t, live, "while somebody looks on")
	})
}

// However often it is stopped, and whatever fails, the same events are published in the same order.
func TestDemoGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var whole, parts stage
		time.Sleep(16 * 24 * time.Hour) //nolint:forbidigo // in a bubble, this is the clock; it becomes a Monday with school
		dir := t.TempDir()
		go whole.play(t, filepath.Join(dir, "whole.json"), 3*24*time.Hour, 10*time.Minute)
		for range 6 {
			parts.fail = 2
			parts.play(t, filepath.Join(dir, "parts.json"), 12*time.Hour, 10*time.Minute)
		}
		synctest.Wait()
		seen := make(map[string]domain.Event)
		for _, e := range parts.events {
			require.NotContains(t, seen, e.ID, "comes once")
			seen[e.ID] = e.Data
		}
		// The pauses of failed calls cost parts a few of the minor events, but none that the year's
		// plan has.
		for _, e := range whole.events {
			if got, ok := seen[e.ID]; ok || e.ID[:5] != "live-" {
				require.Equal(t, e.Data, got, e.ID)
			}
		}
	})
}

func TestDemoCatchesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s stage
		state := filepath.Join(t.TempDir(), "demo.json")
		s.play(t, state, time.Minute, 0)
		time.Sleep(20 * 24 * time.Hour) //nolint:forbidigo // in a bubble, this is the clock
		s.play(t, state, time.Minute, 0)
		marked := make(map[domain.Date]int)
		for _, e := range s.events {
			if m, ok := e.Data.(*attendance.Marked); ok {
				marked[m.Date]++
			}
		}
		for day, n := range marked {
			require.GreaterOrEqual(t, n, 26, "%s is complete", day)
		}
		require.Contains(t, marked, domain.DateOf(time.Now()).AddDays(-7), "a week ago nobody played")
		// After the summer, another year begins.
		time.Sleep(400 * 24 * time.Hour) //nolint:forbidigo // as above
		was := len(s.events)
		s.play(t, state, 10*24*time.Hour, time.Hour)
		require.Greater(t, len(s.events)-was, 100)
	})
}
