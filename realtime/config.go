package realtime

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/schoolbell/schoolbell/eventlog"
)

// Log is what the hub needs of the log.
type Log interface {
	eventlog.Fetcher
	eventlog.Inspector
}

// Config is what a hub is made of. The zero value of a limit stands for its default.
type Config struct {
	Log    Log
	Rights Rights // nil: nobody is connected with anybody
	Bus    Bus    // nil: this is the only node
	// Revoked is asked, again and again, whether a token that was good is still; nil: all are.
	Revoked func(Identity) bool
	// Key signs resume tokens. All nodes have the same.
	Key []byte

	RingBytes   int // recent events on this node, with their frames; default 64 MiB
	Window      int // records in which a repeated event is a duplicate; default eventlog.DefaultWindow
	MaxLag      int // records of a partition that a cursor may be behind; default 200,000
	MaxMissed   int // events that one join hands over; default 1,000
	MaxSessions int // on this node; default 50,000
	MaxPerUser  int // on this node; default 20
	MaxRooms    int // of one session; default 100
	Readers     int // sessions that read the log at once; default 8

	// DashboardInterval is the shortest time between two notices to the dashboards of a school; default 200 ms.
	DashboardInterval time.Duration

	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // default time.Now
}

const defaultDashboardInterval = 200 * time.Millisecond

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.RingBytes, 64<<20)
	def(&c.Window, eventlog.DefaultWindow)
	def(&c.MaxLag, 200_000)
	def(&c.MaxMissed, 1000)
	def(&c.MaxSessions, 50_000)
	def(&c.MaxPerUser, 20)
	def(&c.MaxRooms, 100)
	def(&c.Readers, 8)
	if c.DashboardInterval == 0 {
		c.DashboardInterval = defaultDashboardInterval
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	if c.Log == nil {
		errs = append(errs, errors.New("the log is missing"))
	}
	if len(c.Key) < 16 {
		errs = append(errs, errors.New("the key must have at least 16 bytes"))
	}
	for name, v := range map[string]int{
		"RingBytes": c.RingBytes, "Window": c.Window, "MaxLag": c.MaxLag, "MaxMissed": c.MaxMissed, "MaxSessions": c.MaxSessions,
		"MaxPerUser": c.MaxPerUser, "MaxRooms": c.MaxRooms, "Readers": c.Readers, "DashboardInterval": int(c.DashboardInterval),
	} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("%s must not be negative", name))
		}
	}
	return errors.Join(errs...)
}
