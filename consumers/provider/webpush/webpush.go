// Package webpush sends notices to browsers and phones that have subscribed (RFC 8030), readable by
// them alone (RFC 8291), and proves to the push services who sends them (RFC 8292).
//
// A user may have several devices; a delivery goes to all of them and has succeeded when one
// service has accepted it. A device that its service reports as gone is removed. Sending a delivery
// again is harmless: its id is the message's topic, so that a service keeps only one pending, and
// the notice's tag, so that a device shows only one.
//
// Endpoints come from users and must not lead into our own network: they are checked when a device
// is added, and again on every connection, after its name is resolved. The first change: what a
// device gets is in notice.
package webpush

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/segment"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

// maxTTL is how long services hold a notice for a device that is off.
const maxTTL = 24 * time.Hour

// Config configures a provider. A zero value means the default in parentheses.
type Config struct {
	Name string // of the provider, in ledgers and metrics ("webpush")
	Key  string // required: the result of NewKey
	// Contact is required: where push services write to, for example mailto:it@example.org or
	// https://example.org.
	Contact string
	Timeout time.Duration // for one service (10 s)
	// AllowPrivate permits endpoints on private networks and without TLS, for tests. Subscriptions
	// come from users, who could otherwise direct requests at our own servers.
	AllowPrivate bool

	Subscriptions *Store          // required
	Writer        provider.Writer // required
}

// Subscription is a device of a user.
type Subscription struct {
	Endpoint string `json:"endpoint" doc:"The address that the browser's push service gave" example:"https://updates.push.services.mozilla.com/wpush/v2/gAAAA"`
	Keys     Keys   `json:"keys"`
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	return errors.Join(
		provider.Fault(c.Key == "", "web push key is required"),
		provider.Fault(!reachable(c.Contact), "web push contact %q: want a mailto: or https: "+
			"address on the internet, for example mailto:it@school.example; Apple's service refuses "+
			"every message with another one", c.Contact),
		provider.Fault(c.Timeout < 0, "web push timeout must not be negative"),
		provider.Fault(c.Subscriptions == nil || c.Writer.Catalog == nil,
			"web push subscriptions and wording are required"),
	)
}

// Provider sends notices.
type Provider struct {
	config   Config
	identity *identity
	client   *provider.Client
}

// New returns a provider.
func New(c Config) (*Provider, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Name = cmp.Or(c.Name, "webpush")
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	who, err := newIdentity(c.Key, c.Contact)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: c.Timeout}
	if !c.AllowPrivate {
		dialer.Control = internetOnly
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext, transport.Proxy = dialer.DialContext, nil
	return &Provider{c, who, provider.NewClient(c.Timeout, transport)}, nil
}

// Close closes idle connections.
func (p *Provider) Close() error {
	p.client.Close()
	return nil
}

// PublicKey returns the key that browsers need to subscribe.
func (p *Provider) PublicKey() string { return p.identity.public }

// Name implements [consumers.Provider].
func (p *Provider) Name() string { return p.config.Name }

// Abilities implements [consumers.Provider].
func (p *Provider) Abilities() consumers.Abilities { return consumers.Abilities{Idempotent: true} }

// notice is the content that a device gets.
type notice struct {
	ID        string `json:"id"` // also the tag that it is shown under
	School    string `json:"school"`
	Kind      string `json:"kind"` // for example "absence"
	Title     string `json:"title"`
	Body      string `json:"body"`
	Language  string `json:"lang"`
	Direction string `json:"dir"`
	Link      string `json:"link,omitzero"`
}

// Send implements [consumers.Provider].
func (p *Provider) Send(ctx context.Context, d *consumers.Delivery) (consumers.Receipt, error) {
	payload, err := p.payload(ctx, d)
	if err != nil {
		return consumers.Receipt{}, err
	}
	devices, err := p.config.Subscriptions.List(ctx, d.School, d.Recipient)
	if err != nil {
		return consumers.Receipt{},
			provider.Fail(consumers.Temporary, "subscriptions", "list devices: %w", err)
	}
	worst := provider.Fail(consumers.Permanent, "no_device", "recipient has no device for notices")
	taken := ""
	for _, s := range devices {
		id, err := p.push(ctx, d, s, payload)
		var e *consumers.SendError
		switch {
		case err == nil:
			taken = id
		case !errors.As(err, &e):
			return consumers.Receipt{}, err
		case e.Code == codeGone:
			if err := p.config.Subscriptions.Remove(ctx, d.School, d.Recipient,
				s.Endpoint); err != nil {
				return consumers.Receipt{},
					provider.Fail(consumers.Temporary, "subscriptions", "remove device: %w", err)
			}
		case worst.Code == "no_device" || rank(e) > rank(worst) || rank(e) == rank(worst) &&
			e.RetryAfter > worst.RetryAfter:
			worst = e
		}
	}
	if taken != "" {
		return consumers.Receipt{State: consumers.Sent, ProviderID: taken}, nil
	}
	return consumers.Receipt{}, worst
}

// rank orders errors by how much hope they leave: an unknown outcome before a temporary failure,
// and that before a permanent one.
func rank(e *consumers.SendError) int {
	switch e.Class {
	case consumers.Unsure:
		return 2
	case consumers.Temporary:
		return 1
	}
	return 0
}

// payload encodes the notice. A body that does not fit into one record is dropped rather than cut:
// the title alone is still true.
func (p *Provider) payload(ctx context.Context, d *consumers.Delivery) ([]byte, error) {
	msg, err := p.config.Writer.Write(ctx, d)
	if err != nil {
		return nil, err
	}
	n := notice{
		ID: d.ID, School: d.School, Kind: d.Template, Title: msg.Title,
		Body:     segment.Fit(msg.Text, 6),
		Language: msg.Language.String(), Direction: "ltr", Link: msg.Link,
	}
	if msg.RightToLeft {
		n.Direction = "rtl"
	}
	payload, err := json.Marshal(n)
	if err == nil && len(payload) > maxPlain {
		n.Body = ""
		payload, err = json.Marshal(n)
	}
	if err != nil || len(payload) > maxPlain {
		return nil, provider.Fail(consumers.Permanent, "message", "notice is too long")
	}
	return payload, nil
}

// codeGone marks a subscription that no longer exists.
const codeGone = "gone"

// push sends a notice to one device.
func (p *Provider) push(ctx context.Context, d *consumers.Delivery, s Subscription,
	payload []byte,
) (id string, err error) {
	endpoint, err := url.Parse(s.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "https" && !p.config.AllowPrivate {
		return "", gone(errors.New("endpoint is not a URL"))
	}
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	padded := min((len(payload)/padding+1)*padding, maxPlain+1)
	body, err := encrypt(payload, s.Keys, own, salt, padded)
	if err != nil {
		return "", gone(err)
	}
	authorization, err := p.identity.header(endpoint)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoint, bytes.NewReader(body))
	if err != nil {
		return "", gone(err)
	}
	ttl := maxTTL
	if !d.NotAfter.IsZero() {
		ttl = min(ttl, max(time.Until(d.NotAfter), 0))
	}
	for name, value := range map[string]string{
		"Authorization":    authorization,
		"Content-Encoding": "aes128gcm",
		"Content-Type":     "application/octet-stream",
		"TTL":              strconv.Itoa(int(ttl.Seconds())),
		"Urgency":          urgency(d.Priority),
		"Topic":            d.ID, // 32 characters, the maximum
	} {
		req.Header.Set(name, value)
	}
	response, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	switch {
	case response.OK():
		return messageID(response.Header), nil
	case response.Status == http.StatusNotFound || response.Status == http.StatusGone:
		return "", gone(errors.New("device has unsubscribed"))
	}
	return "", provider.ResponseError(response, "",
		fmt.Errorf("push service responded %d", response.Status))
}

// gone reports a subscription that will never work again; Send removes it.
func gone(err error) *consumers.SendError {
	return provider.Fail(consumers.Permanent, codeGone, "%w", err)
}

// messageID returns the service's id for a message, if it gives a short one.
func messageID(h http.Header) string {
	location := h.Get("Location")
	if id := location[strings.LastIndexByte(location, '/')+1:]; id != "" && len(id) <= 128 {
		return id
	}
	return "taken"
}

// urgency maps the priority to a header by which a phone in power saving decides whether to wake
// up.
func urgency(p consumers.Priority) string {
	switch p {
	case consumers.Urgent:
		return "high"
	case consumers.Bulk:
		return "low"
	}
	return "normal"
}

// internet lets connections to the public internet pass, at the port that all push services have. It
// covers every special range of IANA's registries, in each notation, and IPv6 addresses that lead to
// IPv4 ones.
var internet = ssrf.New(ssrf.WithPorts(443))

// internetOnly refuses connections to where no push service can be. It runs after the name is
// resolved, so that a name cannot change in between.
func internetOnly(network, address string, socket syscall.RawConn) error {
	if err := internet.Safe(network, address, socket); err != nil {
		return fmt.Errorf("endpoint is not on the internet: %w", err)
	}
	return nil
}

// isPublic reports an address that internetOnly allows to connect to.
func isPublic(ip netip.Addr) bool {
	network := "tcp6"
	if ip.Is4() {
		network = "tcp4"
	}
	return internet.Safe(network, netip.AddrPortFrom(ip, 443).String(), nil) == nil
}
