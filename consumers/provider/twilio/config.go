package twilio

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/consumers/provider"
)

// Config describes an account with the service. A zero value means the default in parentheses.
type Config struct {
	Name     string // of the provider, in ledgers and metrics ("twilio")
	URL      string // of the service (https://api.twilio.com)
	Account  string // required: the account's SID
	Token    string // required: the account's auth token
	OldToken string // still verifies callbacks while tokens are replaced (none)
	From     string // the sending number or name; it or Service is required
	Service  string // the SID of a messaging service that chooses one
	// OwnNames uses a school's own sender name in place of From, where the country allows it.
	// (false)
	OwnNames bool
	// Callbacks is the public address of [Provider.Callback]; without it there are no receipts.
	// (none)
	Callbacks string

	// IdempotencyHeader carries the delivery's id, for services that then send it once. Twilio
	// itself has none. (none)
	IdempotencyHeader string

	Segments  int               // longer texts are shortened to this many messages (4)
	Rate      float64           // messages per second (unlimited)
	Timeout   time.Duration     // for a response (10 s)
	Transport http.RoundTripper // (one of its own)
	Now       func() time.Time  // (time.Now)

	Writer provider.Writer // required
	// FindDelivery returns the id of the delivery that a message belongs to, or "". With it, a
	// search for a message skips those of other deliveries with the same text. (none: a search that
	// finds several has no result)
	FindDelivery TakenBy
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "twilio"
	}
	if c.URL == "" {
		c.URL = "https://api.twilio.com"
	}
	if c.Segments == 0 {
		c.Segments = 4
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	var faults []error
	if c.Account == "" || c.Token == "" {
		faults = append(faults, errors.New("SMS account and token are required"))
	}
	if strings.ContainsAny(c.Account, "/?#") {
		faults = append(faults, errors.New("SMS account must be an SID"))
	}
	if c.From == "" && c.Service == "" {
		faults = append(faults,
			errors.New("SMS sender: a number or a messaging service is required"))
	}
	for what, address := range map[string]string{"service": c.URL, "callbacks": c.Callbacks} {
		if address == "" {
			continue
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" ||
			u.RawQuery != "" || u.Fragment != "" {
			faults = append(faults,
				fmt.Errorf("address of SMS %s must be absolute, http or https, and without a query", what))
		}
	}
	if c.Segments < 0 || c.Segments > 10 {
		faults = append(faults, errors.New("SMS segments must be from 1 to 10"))
	}
	if c.Rate < 0 || c.Timeout < 0 {
		faults = append(faults, errors.New("SMS rate and timeout must not be negative"))
	}
	if c.Writer.Catalog == nil {
		faults = append(faults, errors.New("SMS wording is required"))
	}
	return errors.Join(faults...)
}
