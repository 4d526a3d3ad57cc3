package config

import (
	"errors"
	"fmt"
	"time"
)

// Realtime is how live connections are treated.
type Realtime struct {
	Connections  int           `env:"CONNECTIONS" default:"50000" help:"Live connections of this process at most, besides those of the API."`
	PerUser      int           `env:"PER_USER" default:"20" help:"Live connections of one user to this process at most."`
	Rooms        int           `env:"ROOMS" default:"100" help:"Rooms that one connection can be in."`
	MessageRate  int           `env:"MESSAGE_RATE" default:"100" help:"Messages that a client may send in a second."`
	MessageBytes int           `env:"MESSAGE_BYTES" default:"65536" help:"Size of one message from a client."`
	RingMB       int           `name:"ring-mb" env:"RING_MB" default:"64" help:"Memory for recent events, in megabytes; clients further behind are served from the log."`
	MaxLag       int           `env:"MAX_LAG" default:"200000" help:"Records of the log that a client may be behind; one further behind has to read the state anew."`
	Dashboards   int           `env:"DASHBOARDS" default:"5" help:"Times a second that the dashboards of a school are told what has changed, at most."`
	DrainTime    time.Duration `env:"DRAIN_TIME" default:"5s" help:"Over which time a stop lets go of the connections, so that they do not all come back elsewhere at once."`
	Waiting      int           `env:"WAITING" default:"500" help:"Connections from one address that may wait to show their token, at most; allow more behind a proxy that hides the addresses of clients."`
	Key          string        `env:"KEY" placeholder:"SECRET" secret:"" help:"Signs resume tokens, the same in all processes; at least 16 bytes. Derived from the secret of the tokens unless those are signed by an identity provider."`
}

// DashboardInterval is the shortest time between two notices to a dashboard.
func (r Realtime) DashboardInterval() time.Duration { return time.Second / time.Duration(r.Dashboards) }

// Advice is what can be put right in settings that work, but not as one would expect.
func (c *Config) Advice() []string {
	if c.Has(RoleRealtime) && c.JWT.JWKS != "" && c.Realtime.Key == "" {
		return []string{"live clients resume only on the process that they were connected to, and not after it has been started anew: " +
			"set SCHOOLBELL_REALTIME_KEY to one secret in all processes"}
	}
	return nil
}

func (r Realtime) validate() error {
	var faults []error
	for _, n := range []struct {
		name  string
		value int
	}{
		{"connections", r.Connections},
		{"per-user", r.PerUser},
		{"waiting", r.Waiting},
		{"rooms", r.Rooms},
		{"message-rate", r.MessageRate},
		{"message-bytes", r.MessageBytes},
		{"ring-mb", r.RingMB},
		{"max-lag", r.MaxLag},
		{"dashboards", r.Dashboards},
	} {
		if n.value < 1 {
			faults = append(faults, fmt.Errorf("realtime-%s: %d is less than 1", n.name, n.value))
		}
	}
	if r.DrainTime < 0 {
		faults = append(faults, fmt.Errorf("realtime-drain-time: %s is negative", r.DrainTime))
	}
	if r.Key != "" && len(r.Key) < 16 {
		faults = append(faults, errors.New("realtime-key: give at least 16 bytes"))
	}
	return errors.Join(faults...)
}
