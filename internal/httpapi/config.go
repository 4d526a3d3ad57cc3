package httpapi

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config is how the API behaves. A zero value means the default in parentheses.
type Config struct {
	Version string // of the program, for OpenAPI (dev)

	WaitLimit time.Duration // how long a read waits for the position it names (2 s)
	LoadLimit time.Duration // how long an answer may take to be made (15 s)

	AppendLimit   time.Duration // how long a producer waits for the log (10 s)
	MaxBody       int64         // bytes of a request's body, also after inflating (4 MiB)
	MaxEvents     int           // in one request (1,000)
	EventRate     float64       // events a second for each token (50,000)
	EventBurst    int           // events at once for each token (100,000)
	InFlightBytes int64         // of bodies being worked on; what is beyond gets 503 (64 MiB)

	AllowedOrigins []string // of browser pages that may call the API from elsewhere (none)
	BehindTLS      bool     // a proxy in front speaks TLS, so browsers are told to stay with it
}

func (c Config) withDefaults() Config {
	c.Version = orDefault(c.Version, "dev")
	c.WaitLimit = orDefault(c.WaitLimit, 2*time.Second)
	c.LoadLimit = orDefault(c.LoadLimit, 15*time.Second)
	c.AppendLimit = orDefault(c.AppendLimit, 10*time.Second)
	c.MaxBody = orDefault(c.MaxBody, 4<<20)
	c.MaxEvents = orDefault(c.MaxEvents, 1000)
	c.EventRate = orDefault(c.EventRate, 50_000)
	c.EventBurst = orDefault(c.EventBurst, 100_000)
	c.InFlightBytes = orDefault(c.InFlightBytes, 64<<20)
	return c
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Validate reports all that is wrong.
func (c Config) Validate() error {
	var faults []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"wait limit", c.WaitLimit}, {"load limit", c.LoadLimit}, {"append limit", c.AppendLimit}} {
		if d.value < 0 {
			faults = append(faults, fmt.Errorf("http %s: %s is negative", d.name, d.value))
		}
	}
	if c.MaxBody < 0 || c.MaxEvents < 0 || c.EventRate < 0 || c.EventBurst < 0 || c.InFlightBytes < 0 {
		faults = append(faults, errors.New("http limits must not be negative"))
	}
	d := c.withDefaults()
	if d.InFlightBytes < d.MaxBody {
		faults = append(faults, fmt.Errorf("http: %d bytes in flight are less than one body of %d", d.InFlightBytes, d.MaxBody))
	}
	if d.EventBurst < d.MaxEvents {
		faults = append(faults, fmt.Errorf("http: a burst of %d events is less than one request of %d", d.EventBurst, d.MaxEvents))
	}
	for _, o := range c.AllowedOrigins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || strings.TrimSuffix(o, "/") != u.Scheme+"://"+u.Host || strings.HasSuffix(o, "/") {
			faults = append(faults, fmt.Errorf("http: origin %q must be scheme://host, as in https://app.example.org", o))
		}
	}
	return errors.Join(faults...)
}
