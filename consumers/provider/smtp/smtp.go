// Package smtp sends e-mail by SMTP submission.
//
// A server that has confirmed the end of a message has accepted it; one that has refused has not.
// When the connection ends between the last line and the response, the outcome is unknown, and mail
// servers cannot be queried. The message id is made from the delivery's id: many mailboxes show a
// message that arrives twice only once, but that is no guarantee.
//
// [Provider.Send] composes a message, takes a connection from the idle ones or dials, sends, and
// classifies what came back. The first change: what a mail looks like is in compose and htmlPage.
package smtp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"net"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

// Security is the protection of a connection.
type Security string

// The kinds of protection.
const (
	StartTLS Security = "starttls" // required of the server
	TLS      Security = "tls"      // from the first byte
	Plain    Security = "plain"    // none: for a server on the same machine
)

// Config describes a mail server. A zero value means the default in parentheses.
type Config struct {
	Name     string   // of the provider, in ledgers and metrics ("smtp")
	Host     string   // required
	Port     int      // (587, or 465 with TLS)
	Security Security // (StartTLS)
	Username string   // without one there is no authentication (none)
	Password string
	From     string // required: the address of the sender; the name is the school's

	Connections int           // idle ones to reuse (4)
	Timeout     time.Duration // for each step (15 s)
	Rate        float64       // messages per second (unlimited)
	TLS         *tls.Config   // how certificates are verified (the system's roots)

	Writer provider.Writer // required
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	from := validSender(c.From)
	valid := slices.Contains([]Security{"", StartTLS, TLS, Plain}, c.Security)
	return errors.Join(
		provider.Fault(c.Host == "", "mail server: a host is required"),
		provider.Fault(c.Port < 0 || c.Port > 65535, "mail server: %d is not a port", c.Port),
		provider.Fault(c.Security == Plain && c.Username != "",
			"mail server: a password needs a protected connection"),
		provider.Fault(!valid, "mail security %q is not starttls, tls or plain", c.Security),
		provider.Fault(from != nil, "mail sender: want an address, for example school@example.org"),
		provider.Fault(c.Connections < 0 || c.Timeout < 0 || c.Rate < 0,
			"mail connections, timeout and rate must not be negative"),
		provider.Fault(c.Writer.Catalog == nil, "mail wording is required"),
	)
}

// validSender checks the address that messages come from.
func validSender(address string) error {
	from, err := mail.ParseAddress(address)
	if err != nil {
		return err
	}
	_, err = onTheWire(from.Address)
	return err
}

// Provider sends e-mail.
type Provider struct {
	config Config
	from   mailbox
	idle   chan *connection
}

// New returns a provider. It connects when there is something to send.
func New(c Config) (*Provider, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Name = cmp.Or(c.Name, "smtp")
	c.Security = cmp.Or(c.Security, StartTLS)
	c.Port = cmp.Or(c.Port, map[Security]int{StartTLS: 587, TLS: 465, Plain: 25}[c.Security])
	c.Timeout = cmp.Or(c.Timeout, 15*time.Second)
	c.Connections = cmp.Or(c.Connections, 4)
	from, err := mail.ParseAddress(c.From)
	if err != nil {
		return nil, err
	}
	sender, err := onTheWire(from.Address)
	if err != nil {
		return nil, err
	}
	return &Provider{c, sender, make(chan *connection, c.Connections)}, nil
}

// Name implements [consumers.Provider].
func (p *Provider) Name() string { return p.config.Name }

// Abilities implements [consumers.Provider]. SMTP is neither idempotent nor can it be queried.
func (p *Provider) Abilities() consumers.Abilities {
	return consumers.Abilities{Rate: p.config.Rate}
}

// Send implements [consumers.Provider].
func (p *Provider) Send(ctx context.Context, d *consumers.Delivery) (consumers.Receipt, error) {
	msg, err := p.config.Writer.Write(ctx, d)
	if err != nil {
		return consumers.Receipt{}, err
	}
	to, err := onTheWire(d.Address)
	if err != nil {
		return consumers.Receipt{}, provider.Fail(consumers.Permanent, "address", "%w", err)
	}
	m, err := p.compose(d, to.address, msg)
	if err != nil {
		return consumers.Receipt{}, provider.Fail(consumers.Permanent, "address", "%w", err)
	}
	c, err := p.acquire(ctx)
	if err != nil {
		return consumers.Receipt{},
			provider.Fail(consumers.Temporary, "unreachable", "connect to mail server: %w", err)
	}
	if refused := c.prepare(to.utf8 || p.from.utf8); refused != nil {
		p.release(c)
		return consumers.Receipt{}, refused
	}
	// ends the current step
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	err = c.client.SendWithSMTPClient(c.session, m)
	if !stop() || err != nil {
		c.close()
	} else {
		p.release(c)
	}
	if m.IsDelivered() { // accepted, whatever came after
		return consumers.Receipt{
			State:      consumers.Sent,
			ProviderID: strings.Trim(m.GetMessageID(), "<>"),
		}, nil
	}
	return consumers.Receipt{}, classify(err, to.address)
}

// classify says what an error means for the message.
func classify(err error, recipient string) *consumers.SendError {
	var e *gomail.SendError
	if !errors.As(err, &e) {
		return provider.Fail(consumers.Unsure, "no_answer", "mail server did not respond")
	}
	code := e.ErrorCode()
	failure := &consumers.SendError{
		Class: consumers.Temporary, Code: strconv.Itoa(code),
		Err: fmt.Errorf("%s: mail server responded %s", e.Reason, serverText(e, recipient)),
	}
	ours := e.Reason == gomail.ErrSMTPMailFrom // a refused sender is a mistake in the configuration
	switch {
	case code == 0 && e.Reason == gomail.ErrSMTPDataClose:
		failure.Class, failure.Code, failure.Err = consumers.Unsure, "no_answer",
			fmt.Errorf("%s: no response", e.Reason)
	case code == 0:
		failure.Code, failure.Err = "no_answer", fmt.Errorf("%s: no response", e.Reason)
	case code >= 500 && !ours:
		failure.Class = consumers.Permanent
	}
	return failure
}

// compose writes the message as text and as HTML.
func (p *Provider) compose(
	d *consumers.Delivery, to string, msg wording.Message,
) (*gomail.Msg, error) {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := m.FromFormat(d.Sender, p.from.address); err != nil {
		return nil, errors.New("sender's name cannot be written in a message")
	}
	if err := m.To(to); err != nil {
		return nil, errors.New("recipient's address cannot be written in a message")
	}
	_, domain, _ := strings.Cut(p.from.address, "@")
	m.SetMessageIDWithValue(d.ID + "@" + domain)
	m.SetDate()
	m.Subject(msg.Title)
	m.SetGenHeader("Content-Language", msg.Language.String())
	m.SetGenHeader("Auto-Submitted", "auto-generated") // no automatic replies (RFC 3834)
	m.SetBodyString(gomail.TypeTextPlain, withSignature(msg.Body, d.Sender))
	m.AddAlternativeString(gomail.TypeTextHTML, htmlPage(msg, d.Sender))
	return m, nil
}

// withSignature appends the sender after the delimiter "-- ", which mail readers recognize and do
// not quote.
func withSignature(body, sender string) string {
	if sender == "" {
		return body + "\n"
	}
	return body + "\n\n-- \n" + sender + "\n"
}

// htmlPage renders the message for readers of HTML: the same lines, in the direction of their
// language. Styles are inline, as mail clients drop style sheets.
func htmlPage(msg wording.Message, sender string) string {
	direction := "ltr"
	if msg.RightToLeft {
		direction = "rtl"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html><html lang="%s" dir="%s"><head><meta charset="utf-8"><title>%s</title></head>`,
		msg.Language, direction, html.EscapeString(msg.Title))
	b.WriteString(`<body style="font-family:sans-serif;font-size:16px;line-height:1.5;max-width:36em;margin:1em auto;padding:0 1em">`)
	for paragraph := range strings.SplitSeq(msg.Body, "\n\n") {
		b.WriteString("<p>")
		for i, line := range strings.Split(paragraph, "\n") {
			if i > 0 {
				b.WriteString("<br>")
			}
			b.WriteString(linkify(line))
		}
		b.WriteString("</p>")
	}
	if sender != "" {
		fmt.Fprintf(&b, `<p style="color:#555">%s</p>`, html.EscapeString(sender))
	}
	b.WriteString("</body></html>\n")
	return b.String()
}

// linkify escapes a line and turns an address at its end into a link.
func linkify(line string) string {
	i := strings.LastIndex(line, "https://")
	if i < 0 || strings.ContainsAny(line[i:], " \t") {
		return html.EscapeString(line)
	}
	address := html.EscapeString(line[i:])
	return html.EscapeString(line[:i]) + `<a href="` + address + `">` + address + `</a>`
}

// connection is a greeted and authenticated connection to the mail server.
type connection struct {
	client  *gomail.Client
	session *smtp.Client
	conn    net.Conn
}

func (c *connection) close() { _ = c.conn.Close() }

// acquire takes an idle connection that still responds, or dials. The check costs a round trip and
// keeps a dead connection from making an outcome unknown.
func (p *Provider) acquire(ctx context.Context) (*connection, error) {
	for {
		select {
		case c := <-p.idle:
			if c.session.UpdateDeadline(p.config.Timeout) == nil && c.session.Noop() == nil {
				return c, nil
			}
			c.close()
			continue
		default:
		}
		return p.dial(ctx)
	}
}

// release makes a connection idle, or closes it when there are enough.
func (p *Provider) release(c *connection) {
	select {
	case p.idle <- c:
	default:
		c.close()
	}
}

// Close closes the idle connections.
func (p *Provider) Close() error {
	for {
		select {
		case c := <-p.idle:
			c.close()
		default:
			return nil
		}
	}
}

// dial opens a connection, with TLS as configured.
func (p *Provider) dial(ctx context.Context) (*connection, error) {
	secure := &tls.Config{}
	if p.config.TLS != nil {
		secure = p.config.TLS.Clone()
	}
	secure.ServerName, secure.MinVersion = p.config.Host, tls.VersionTLS12
	c := &connection{}
	options := []gomail.Option{
		gomail.WithPort(p.config.Port), gomail.WithTimeout(p.config.Timeout),
		gomail.WithTLSConfig(secure), gomail.WithoutNoop(),
		gomail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn,
			error,
		) {
			var err error
			if p.config.Security == TLS {
				c.conn, err = (&tls.Dialer{Config: secure}).DialContext(ctx, network, address)
			} else {
				c.conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			}
			return c.conn, err
		}),
	}
	switch p.config.Security {
	case StartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case TLS:
		options = append(options, gomail.WithSSL())
	case Plain:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if p.config.Username != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(p.config.Username), gomail.WithPassword(p.config.Password))
	}
	var err error
	if c.client, err = gomail.NewClient(p.config.Host, options...); err != nil {
		return nil, err
	}
	if c.session, err = c.client.DialToSMTPClientWithContext(ctx); err != nil {
		if c.conn != nil {
			c.close()
		}
		return nil, err
	}
	return c, nil
}
