// Package twilio sends SMS through Twilio's HTTP interface for messages (2010-04-01), which other
// services speak too.
//
// The service has no idempotency keys, so that a missing response leaves open whether a text was
// sent. Three things settle it. The status callback names the delivery in its address, so that a
// receipt finds it even when the message's own id was never received. The list of messages is
// searched for one to the same number with the same text; a service that is slow to accept a text
// lists it late, so that only a list of some minutes later says that there is none. And a compatible
// service that accepts a key gets the delivery's id.
//
// [Provider.Send] posts a message, [Provider.Status] reads one or searches the list,
// [Provider.Callback] receives receipts; response.go says what a response means. The first change:
// another code of the service that means "later" is a case in refusalError.
package twilio

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/segment"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

// Provider sends SMS.
type Provider struct {
	config Config
	client *provider.Client
}

// New returns a provider.
func New(c Config) (*Provider, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	return &Provider{c, provider.NewClient(c.Timeout, c.Transport)}, nil
}

// Close closes idle connections.
func (p *Provider) Close() error {
	p.client.Close()
	return nil
}

// Name implements [consumers.Provider].
func (p *Provider) Name() string { return p.config.Name }

// Abilities implements [consumers.Provider].
func (p *Provider) Abilities() consumers.Abilities {
	return consumers.Abilities{
		Idempotent: p.config.IdempotencyHeader != "",
		Status:     true,
		Settle:     p.config.Settle,
		Rate:       p.config.Rate,
	}
}

// Send implements [consumers.Provider].
func (p *Provider) Send(ctx context.Context, d *consumers.Delivery) (consumers.Receipt, error) {
	text, err := p.text(ctx, d)
	if err != nil {
		return consumers.Receipt{}, err
	}
	form := url.Values{"To": {d.Address}, "Body": {text}}
	switch {
	case p.config.OwnNames && d.Sender != "":
		form.Set("From", d.Sender)
	case p.config.Service != "":
		form.Set("MessagingServiceSid", p.config.Service)
	default:
		form.Set("From", p.config.From)
	}
	if p.config.Callbacks != "" {
		form.Set("StatusCallback", p.callbackFor(d))
	}
	if !d.NotAfter.IsZero() { // how long the service waits for a phone that is off: 1 s to 10 h
		left := int(d.NotAfter.Sub(p.config.Now()).Seconds())
		form.Set("ValidityPeriod", strconv.Itoa(min(max(left, 1), 36_000)))
	}
	req, err := p.request(ctx, http.MethodPost, "/Messages.json", strings.NewReader(form.Encode()))
	if err != nil {
		return consumers.Receipt{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p.config.IdempotencyHeader != "" {
		req.Header.Set(p.config.IdempotencyHeader, d.ID)
	}
	response, err := p.client.Do(req)
	if err != nil {
		return consumers.Receipt{}, err
	}
	r, err := sent(response)
	if err == nil && r.Segments == 0 {
		r.Segments = segment.Of(text).Segments
	}
	return r, err
}

// text is the text to send: in the cheaper alphabet if no letter is lost, and not too long.
func (p *Provider) text(ctx context.Context, d *consumers.Delivery) (string, error) {
	m, err := p.config.Writer.Write(ctx, d)
	if err != nil {
		return "", err
	}
	return segment.Fit(segment.Plain(m.Text), p.config.Segments), nil
}

// Count returns the number of messages that a delivery will be charged as.
func (p *Provider) Count(ctx context.Context, d *consumers.Delivery) (int, error) {
	text, err := p.text(ctx, d)
	return segment.Of(text).Segments, err
}

// request builds an authenticated request to a path of the account.
func (p *Provider) request(ctx context.Context, method, path string,
	body io.Reader,
) (*http.Request, error) {
	address := strings.TrimRight(p.config.URL, "/") + "/2010-04-01/Accounts/" +
		url.PathEscape(p.config.Account) + path
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, provider.Fail(consumers.Permanent, "request", "%w", err)
	}
	req.SetBasicAuth(p.config.Account, p.config.Token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "schoolbell")
	return req, nil
}

// callbackValid is how long callbacks about a message are accepted: receipts may come a day after
// the text.
const callbackValid = 72 * time.Hour

// callbackExpiry is when callbacks about a message that is sent now are no longer accepted.
func (p *Provider) callbackExpiry() time.Time { return p.config.Now().Add(callbackValid) }
