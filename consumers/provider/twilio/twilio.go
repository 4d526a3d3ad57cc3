// Package twilio sends SMS through Twilio's HTTP interface for messages (2010-04-01), which other
// services speak too.
//
// The service has no idempotency keys, so that a missing response leaves open whether a text was
// sent. Three things settle it. The status callback names the delivery in its address, so that a
// receipt finds it even when the message's own id was never received. The list of messages is
// searched for one to the same number with the same text. And a compatible service that accepts a
// key gets the delivery's id.
//
// [Provider.Send] posts a message, [Provider.Status] searches the list, [Provider.Callback]
// receives receipts. The first change: another code of the service that means "later" is a case in
// refusalError.
package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

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
		Rate:       p.config.Rate,
	}
}

// message is a message as the service describes it.
type message struct {
	SID          string `json:"sid"`
	Status       string `json:"status"`
	To           string `json:"to"`
	Body         string `json:"body"`
	Segments     string `json:"num_segments"`
	Price        string `json:"price"` // null until it is set, then negative
	ErrorCode    int    `json:"error_code"`
	ErrorMessage string `json:"error_message"`
}

// apiError is an error as the service describes it.
type apiError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
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
	req, err := p.request(ctx, http.MethodPost, "", strings.NewReader(form.Encode()))
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
	if !response.OK() {
		return consumers.Receipt{}, refusalError(response)
	}
	var m message
	if err := json.Unmarshal(response.Body, &m); err != nil {
		m = message{} // accepted; a receipt will bring its id
	}
	r := m.receipt()
	if r.Segments == 0 {
		r.Segments = segment.Of(text).Segments
	}
	return r, nil
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

// request builds an authenticated request. Its path is the same for sending and for listing.
func (p *Provider) request(ctx context.Context, method, query string,
	body *strings.Reader,
) (*http.Request, error) {
	address := strings.TrimRight(p.config.URL, "/") + "/2010-04-01/Accounts/" +
		url.PathEscape(p.config.Account) + "/Messages.json" + query
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, provider.Fail(consumers.Permanent, "request", "%w", err)
	}
	req.SetBasicAuth(p.config.Account, p.config.Token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "schoolbell")
	return req, nil
}

// Status implements [consumers.StatusProvider]. It searches for a message to the same number with
// the same text that belongs to no other delivery.
func (p *Provider) Status(ctx context.Context,
	d *consumers.Delivery,
) (consumers.Receipt, bool, error) {
	text, err := p.text(ctx, d)
	if err != nil {
		return consumers.Receipt{}, false, err
	}
	query := url.Values{"To": {d.Address}, "PageSize": {"1000"}}
	req, err := p.request(ctx, http.MethodGet, "?"+query.Encode(), strings.NewReader(""))
	if err != nil {
		return consumers.Receipt{}, false, err
	}
	response, err := p.client.Do(req)
	if err != nil {
		return consumers.Receipt{}, false, err
	}
	if !response.OK() {
		return consumers.Receipt{}, false, refusalError(response)
	}
	var list struct {
		Messages []message `json:"messages"`
		NextPage string    `json:"next_page_uri"`
	}
	if err := json.Unmarshal(response.Body, &list); err != nil {
		return consumers.Receipt{}, false, fmt.Errorf("decode list of messages: %w", err)
	}
	var found []message
	for _, m := range list.Messages {
		if m.To != d.Address || m.Body != text {
			continue
		}
		if p.config.FindDelivery != nil {
			claimedBy, err := p.config.FindDelivery(ctx, p.Name(), m.SID)
			if err != nil {
				return consumers.Receipt{}, false, fmt.Errorf("find delivery of message: %w", err)
			}
			if claimedBy == d.ID {
				return m.receipt(), true, nil
			}
			if claimedBy != "" {
				continue
			}
		}
		found = append(found, m)
	}
	switch {
	case len(found) == 1, len(found) > 1 && p.config.FindDelivery != nil:
		// the newest is first; the oldest without a delivery is ours
		return found[len(found)-1].receipt(), true, nil
	case len(found) > 1:
		return consumers.Receipt{}, false, errors.New("several messages have this text and number")
	case list.NextPage != "":
		return consumers.Receipt{}, false, errors.New("too many messages to this number to search")
	}
	return consumers.Receipt{}, false, nil
}

// receipt converts what the service says about a message.
func (m message) receipt() consumers.Receipt {
	segments, _ := strconv.Atoi(m.Segments) // absent from a response that could not be decoded
	r := consumers.Receipt{
		State: state(m.Status), ProviderID: m.SID, Cost: millionths(m.Price),
		Segments: segments,
	}
	if r.State == consumers.Failed {
		r.Error = reason(m.Status, m.ErrorCode, m.ErrorMessage)
	}
	return r
}

// state maps the service's status. Those before the last ones all mean that it has accepted the
// message.
func state(status string) consumers.State {
	switch status {
	case "delivered", "read":
		return consumers.Delivered
	case "failed", "undelivered", "canceled":
		return consumers.Failed
	}
	return consumers.Sent
}

// reason describes a failure as operators see it, with the code to look up in the service's
// documentation.
func reason(status string, code int, text string) string {
	switch {
	case code != 0 && text != "":
		return fmt.Sprintf("%s: %s (%d)", status, text, code)
	case code != 0:
		return fmt.Sprintf("%s (%d)", status, code)
	}
	return status
}

// millionths parses a price such as "-0.00750" as a positive cost. Anything else is 0.
func millionths(price string) int64 {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(price, "-"), ".")
	fraction = (fraction + "000000")[:6]
	n, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// refusalError classifies an error response. The service's own codes are a small set, and more
// precise than the status.
func refusalError(response *provider.Response) *consumers.SendError {
	var why apiError
	if err := json.Unmarshal(response.Body, &why); err != nil || why.Code == 0 {
		return provider.ResponseError(response, "",
			fmt.Errorf("service responded %d", response.Status))
	}
	e := provider.ResponseError(response, strconv.Itoa(why.Code), errors.New(why.Message))
	switch why.Code {
	case 14107, 20429, 21611, 30001, 30022, 63018: // rate limits and full queues
		e.Class = consumers.Temporary
	}
	return e
}

// callbackValid is how long callbacks about a message are accepted: receipts may come a day after
// the text.
const callbackValid = 72 * time.Hour

// callbackExpiry is when callbacks about a message that is sent now are no longer accepted.
func (p *Provider) callbackExpiry() time.Time { return p.config.Now().Add(callbackValid) }
