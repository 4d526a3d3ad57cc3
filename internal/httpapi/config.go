package httpapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// loadTimeout is how long a query may take. Requests that share one execution wait for it, each as
// long as its client does.
const loadTimeout = 15 * time.Second

// Config is how the API behaves. A zero value means the default in parentheses.
type Config struct {
	Version string // of the program, for OpenAPI (dev)

	WaitLimit time.Duration // how long a read waits for the position it names (2 s)

	AppendLimit time.Duration // how long a producer waits for the log (10 s)
	MaxBody     int64         // bytes of a request's body, also when decompressed (4 MiB)
	MaxEvents   int           // in one request (1,000)
	EventRate   float64       // events per second for each token (50,000)
	// InFlightBytes is the memory for bodies being processed; what exceeds it gets 503 (64 MiB). A
	// school has an eighth of it.
	InFlightBytes int64
	// ReadsPerSchool is how many reads of one school run at the same time, of the tables and of the
	// log (4); others wait a second for their turn. Fewer than the connections to the database, so
	// that no school can take all of them.
	ReadsPerSchool int
	RequestRate    float64 // requests per second of one school, other than events (500)

	AllowedOrigins []string // of browser pages elsewhere that may call the API (none)
	WebhookOrigins []string // of systems that may push events after a handshake; * is any (none)
	BehindTLS      bool     // a proxy terminates TLS, so browsers must insist on it

	// TrustedProxies are believed when they say for whom they connect (none), by ProxyHeader
	// (XForwardedFor).
	TrustedProxies []netip.Prefix
	ProxyHeader    ProxyHeader
}

func (c Config) withDefaults() Config {
	c.Version = cmp.Or(c.Version, "dev")
	c.WaitLimit = cmp.Or(c.WaitLimit, 2*time.Second)
	c.AppendLimit = cmp.Or(c.AppendLimit, 10*time.Second)
	c.MaxBody = cmp.Or(c.MaxBody, 4<<20)
	c.MaxEvents = cmp.Or(c.MaxEvents, 1000)
	c.EventRate = cmp.Or(c.EventRate, 50_000)
	c.InFlightBytes = cmp.Or(c.InFlightBytes, 64<<20)
	c.ReadsPerSchool = cmp.Or(c.ReadsPerSchool, 4)
	c.RequestRate = cmp.Or(c.RequestRate, 500)
	return c
}

// eventBurst is how many events a token may send at once: two seconds' worth, and never less than
// one request.
func (c Config) eventBurst() int { return max(c.MaxEvents, int(2*c.EventRate)) }

// Validate reports all faults at once.
func (c Config) Validate() error {
	var faults []error
	if c.WaitLimit < 0 || c.AppendLimit < 0 {
		faults = append(faults,
			errors.New("http: wait limit and append limit must not be negative"))
	}
	if c.MaxBody < 0 || c.MaxEvents < 0 || c.EventRate < 0 || c.InFlightBytes < 0 ||
		c.ReadsPerSchool < 0 || c.RequestRate < 0 {
		faults = append(faults, errors.New("http: limits must not be negative"))
	}
	if d := c.withDefaults(); d.InFlightBytes < d.MaxBody {
		faults = append(faults, fmt.Errorf("http: %d bytes in flight are less than one body of %d",
			d.InFlightBytes, d.MaxBody))
	}
	for _, o := range c.AllowedOrigins {
		if u, err := url.Parse(o); err != nil || u.Scheme == "" || u.Host == "" ||
			o != u.Scheme+"://"+u.Host {
			faults = append(faults, fmt.Errorf("http: origin %q must be scheme://host, for "+
				"example https://app.example.org", o))
		}
	}
	for _, o := range c.WebhookOrigins {
		if o == "" || strings.ContainsAny(o, "/: ") {
			faults = append(faults, fmt.Errorf("http: webhook origin %q must be the name of a "+
				"host, for example eventgrid.azure.net, or *", o))
		}
	}
	if c.ProxyHeader == ProxyProtocol && len(c.TrustedProxies) == 0 {
		faults = append(faults, errors.New("http: the PROXY protocol needs trusted proxies"))
	}
	return errors.Join(faults...)
}
