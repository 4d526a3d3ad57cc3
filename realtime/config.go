package realtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// Config configures a [Hub]. The zero value of a limit means its default.
type Config struct {
	Log    eventlog.Source
	Reader *eventlog.Reader // of Log, shared by this process; default one of the hub's own
	// Index finds a school's events in the log, for sessions that have fallen behind; nil: they are
	// looked for in all of the school's partition.
	Index eventlog.Index
	// nil: the token's roles decide alone, and no class or student room is open to others
	Rights Rights
	Bus    Bus // nil: this is the only node
	// Today returns a school's day, by its clock: grants are those of the day, and dashboards are
	// notified when it turns. nil: neither depends on the day.
	Today func(ctx context.Context, school string) (domain.Date, error)
	// Revoked reports whether a token has been revoked. It is called for every open session once a
	// second, so it must be fast. nil: no token is.
	Revoked func(Identity) bool
	// Joined is called with everybody who enters a room, before they hear of anything, and with those
	// who are refused it; no room is a whole school, which is not theirs. An error keeps them out for
	// now. (none)
	Joined func(who Identity, school string, room domain.Room, refused bool) error
	// LogID is what the log is called in positions; empty leaves it out of them.
	LogID domain.LogID
	// Refused returns why a partition of the log cannot be followed, as it is not the one that it
	// was; nil refuses none. It is called often, so it must be fast.
	Refused func(partition int32) error
	// Key signs resume tokens. All nodes must have the same key.
	Key []byte

	RingBytes   int // memory for recent events and their frames; default 64 MiB
	MaxLag      int // records that a cursor may be behind in its partition; default 200,000
	MaxMissed   int // events that one join returns; default 1,000
	MaxSessions int // open on this node; default 50,000
	MaxPerUser  int // sessions of one user on this node; default 20
	MaxRooms    int // rooms of one session; default 100

	// DashboardInterval is the minimum time between two notifications of a school's dashboards;
	// default 200 ms.
	DashboardInterval time.Duration

	// DayInterval is how often the days of the schools with sessions are looked up; default 1 s.
	DayInterval time.Duration

	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // default time.Now
}

const defaultDashboardInterval = 200 * time.Millisecond

// maxReaders is how many sessions may read the log at once. Sessions that are far behind so take
// turns, and cannot crowd out those that are up to date.
const maxReaders = 8

// maxSchoolReaders is how many of them may be of one school, so that others have a turn soon however
// many sessions it has.
const maxSchoolReaders = 2

func (c Config) withDefaults() Config {
	c.RingBytes = cmp.Or(c.RingBytes, 64<<20)
	if c.Reader == nil {
		c.Reader = eventlog.NewReader(eventlog.ReaderConfig{
			Source: c.Log, Decode: cloudevents.Decode, Logger: c.Logger,
		})
	}
	c.MaxLag = cmp.Or(c.MaxLag, 200_000)
	c.MaxMissed = cmp.Or(c.MaxMissed, 1000)
	c.MaxSessions = cmp.Or(c.MaxSessions, 50_000)
	c.MaxPerUser = cmp.Or(c.MaxPerUser, 20)
	c.MaxRooms = cmp.Or(c.MaxRooms, 100)
	c.DashboardInterval = cmp.Or(c.DashboardInterval, defaultDashboardInterval)
	c.DayInterval = cmp.Or(c.DayInterval, time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Refused == nil {
		c.Refused = func(int32) error { return nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	var errs []error
	if c.Log == nil {
		errs = append(errs, errors.New("the log is missing"))
	}
	if len(c.Key) < 16 {
		errs = append(errs, errors.New("the key must have at least 16 bytes"))
	}
	for name, v := range map[string]int{
		"RingBytes": c.RingBytes, "MaxLag": c.MaxLag, "MaxMissed": c.MaxMissed,
		"MaxSessions": c.MaxSessions,
		"MaxPerUser":  c.MaxPerUser, "MaxRooms": c.MaxRooms,
		"DashboardInterval": int(c.DashboardInterval), "DayInterval": int(c.DayInterval),
	} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("%s must not be negative", name))
		}
	}
	return errors.Join(errs...)
}
