package program

import (
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
	"github.com/schoolbell/schoolbell/consumers/provider/budget"
	"github.com/schoolbell/schoolbell/consumers/provider/inbox"
	"github.com/schoolbell/schoolbell/consumers/provider/outbox"
	"github.com/schoolbell/schoolbell/consumers/provider/smtp"
	"github.com/schoolbell/schoolbell/consumers/provider/twilio"
	"github.com/schoolbell/schoolbell/consumers/provider/webpush"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// channels are the providers through which this process reaches people.
type channels struct {
	log       *slog.Logger
	providers map[consumers.Channel]consumers.Provider
	sms       *twilio.Provider // nil when not configured
	inbound   string           // the address of inbound texts; empty: this process is not public
	pushKey   string           // empty when not configured
	outbox    bool             // some channel ends there
	docs      *documents
}

// wireChannels constructs the providers. A channel that is not configured ends in the outbox.
func (p *program) wireChannels(
	pool *pgxpool.Pool, settings consumers.SettingsSource, docs *documents,
) (*channels, error) {
	book, err := wording.Open()
	if err != nil {
		return nil, err
	}
	pdfs, err := docs.provider(p)
	if err != nil {
		return nil, err
	}
	cfg, writer := p.cfg.Channels, provider.Writer{Catalog: book, Link: docs.link}
	sink := outbox.New(pool, writer)
	c := &channels{log: p.log, docs: docs}
	c.providers = map[consumers.Channel]consumers.Provider{
		consumers.SMS:   budget.Limit(sink, pool, settings, budget.Limits{}, nil),
		consumers.Email: sink,
		consumers.Push:  sink,
		consumers.InApp: inbox.New(pool, writer),
		consumers.PDF:   pdfs,
	}
	if cfg.SMS.Account != "" {
		callbacks := ""
		if cfg.Public != "" {
			base := strings.TrimRight(cfg.Public, "/")
			callbacks, c.inbound = base+httpapi.SMSCallbackPath, base+httpapi.SMSInboundPath
		}
		if c.sms, err = twilio.New(twilio.Config{
			URL: cfg.SMS.URL, Account: cfg.SMS.Account, Token: cfg.SMS.Token, OldToken: cfg.SMS.OldToken,
			From: cfg.SMS.From, Service: cfg.SMS.Service, OwnNames: cfg.SMS.OwnNames,
			IdempotencyHeader: cfg.SMS.IdempotencyHeader, Rate: cfg.SMS.Rate, Timeout: config.ProviderTimeout,
			Settle: cfg.SMS.Settle, Callbacks: callbacks, Writer: writer, FindDelivery: ledger.FindByProviderID(pool),
		}); err != nil {
			return nil, ConfigError{err}
		}
		p.onClose(c.sms.Close)
		c.providers[consumers.SMS] = budget.Limit(c.sms, pool, settings, cfg.SMS.Limits(), nil)
	}
	if cfg.Mail.Host != "" {
		mail, err := smtp.New(smtp.Config{
			Host: cfg.Mail.Host, Port: cfg.Mail.Port, Security: smtp.Security(cfg.Mail.Security),
			Username: cfg.Mail.Username, Password: cfg.Mail.Password, From: cfg.Mail.From,
			Rate: cfg.Mail.Rate, Timeout: config.ProviderTimeout, Writer: writer,
		})
		if err != nil {
			return nil, ConfigError{err}
		}
		p.onClose(mail.Close)
		c.providers[consumers.Email] = mail
	}
	if cfg.Push.Key != "" {
		push, err := webpush.New(webpush.Config{
			Key: cfg.Push.Key, Contact: cfg.Push.Contact, Timeout: config.ProviderTimeout,
			Subscriptions: webpush.NewStore(pool), Writer: writer,
		})
		if err != nil {
			return nil, ConfigError{err}
		}
		p.onClose(push.Close)
		c.providers[consumers.Push], c.pushKey = push, push.PublicKey()
	}
	for _, p := range c.providers {
		c.outbox = c.outbox || p.Name() == sink.Name()
	}
	return c, nil
}

// routes is what the API needs to serve deliveries.
func (c *channels) routes(
	ledger *ledger.Ledger, settings *ledger.Settings, planners *consumers.Planners,
) *httpapi.Consumers {
	routes := &httpapi.Consumers{
		Ledger: ledger, Settings: settings, Planners: planners, Link: c.docs.linkTo, StaffLink: c.docs.staffLinkTo,
		Documents: c.docs.serve, PushKey: c.pushKey, Outbox: c.outbox,
	}
	if c.sms != nil {
		routes.SMSCallback = c.sms.Callback(ledger, c.log)
		routes.SMSInbound = c.sms.Inbound(c.inbound, ledger, c.log)
	}
	return routes
}
