package twilio

import (
	"cmp"
	"context"
	"errors"
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

	// Settle is how long after a request without a usable response the list of messages is believed
	// when it does not have the text: the longest time that the service takes for a request. (5 min)
	Settle time.Duration

	Segments  int               // longer texts are shortened to this many messages (4)
	Rate      float64           // messages per second (unlimited)
	Timeout   time.Duration     // for a response (10 s)
	Transport http.RoundTripper // (one of its own)
	Now       func() time.Time  // (time.Now)

	Writer provider.Writer // required
	// FindDelivery returns the id of the delivery that a message belongs to, or "". With it, a
	// search for a message skips those of other deliveries with the same text. (none: a search that
	// finds several has no result)
	FindDelivery func(ctx context.Context, provider, providerID string) (deliveryID string,
		err error)
}

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "twilio")
	c.URL = cmp.Or(c.URL, "https://api.twilio.com")
	c.Settle = cmp.Or(c.Settle, 5*time.Minute)
	c.Segments = cmp.Or(c.Segments, 4)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	const address = "address of SMS %s must be absolute, http or https, and without a query"
	return errors.Join(
		provider.Fault(c.Account == "" || c.Token == "", "SMS account and token are required"),
		provider.Fault(strings.ContainsAny(c.Account, "/?#"), "SMS account must be an SID"),
		provider.Fault(c.From == "" && c.Service == "",
			"SMS sender: a number or a messaging service is required"),
		provider.Fault(!isBase(c.URL), address, "service"),
		provider.Fault(!isBase(c.Callbacks), address, "callbacks"),
		provider.Fault(c.Segments < 0 || c.Segments > 10, "SMS segments must be from 1 to 10"),
		provider.Fault(c.Rate < 0 || c.Timeout < 0 || c.Settle < 0,
			"SMS rate, timeout and time to settle must not be negative"),
		provider.Fault(c.Writer.Catalog == nil, "SMS wording is required"),
	)
}

// isBase reports that an address is empty or can have a path and a query added.
func isBase(address string) bool {
	u, err := url.Parse(address)
	return address == "" || err == nil && u.Host != "" &&
		(u.Scheme == "https" || u.Scheme == "http") &&
		u.RawQuery == "" && u.Fragment == ""
}
