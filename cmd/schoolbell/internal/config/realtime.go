package config

import (
	"errors"
	"fmt"
	"time"
)

// Realtime is how live connections are treated.
type Realtime struct {
	Connections  int           `env:"CONNECTIONS" default:"50000" help:"Maximum live connections of this process, in addition to those of the API."`
	PerUser      int           `env:"PER_USER" default:"20" help:"Maximum live connections of one user to this process."`
	Rooms        int           `env:"ROOMS" default:"100" help:"Maximum rooms of one connection."`
	MessageRate  int           `env:"MESSAGE_RATE" default:"100" help:"Messages per second that a client may send; more of them wait."`
	MessageBytes int           `env:"MESSAGE_BYTES" default:"65536" help:"Maximum size of one message from a client."`
	RingMB       int           `name:"ring-mb" env:"RING_MB" default:"64" help:"Memory for recent events, in megabytes; clients further behind are served from the log."`
	MaxLag       int           `env:"MAX_LAG" default:"200000" help:"Records of the log that a client may be behind; one further behind has to reload the state."`
	DrainTime    time.Duration `env:"DRAIN_TIME" default:"5s" help:"Time over which a stop closes the connections, so that clients do not all reconnect at once."`
	Waiting      int           `env:"WAITING" default:"500" help:"Maximum connections from one address that have not authenticated yet; allow more behind a proxy that hides the addresses of clients."`
	Key          string        `env:"KEY" placeholder:"SECRET" secret:"" help:"Signs resume tokens; at least 16 bytes, the same in all processes. Derived from --jwt-secret unless an identity provider signs the tokens."`
}

// subscribeBytes is what a client sends to subscribe to one room from a position.
const subscribeBytes = 128

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
	} {
		if n.value < 1 {
			faults = append(faults, fmt.Errorf("realtime-%s: %d is less than 1", n.name, n.value))
		}
	}
	if need := r.Rooms * subscribeBytes; r.MessageBytes < need {
		faults = append(faults, fmt.Errorf("realtime-message-bytes: %d is too few for %d rooms, to which a "+
			"client may subscribe in one message: at least %d", r.MessageBytes, r.Rooms, need))
	}
	if r.DrainTime < 0 {
		faults = append(faults, fmt.Errorf("realtime-drain-time: %s is negative", r.DrainTime))
	}
	if r.Key != "" && len(r.Key) < 16 {
		faults = append(faults, errors.New("realtime-key: must have at least 16 bytes"))
	}
	faults = append(faults, refusePublished("realtime-key", r.Key))
	return errors.Join(faults...)
}
