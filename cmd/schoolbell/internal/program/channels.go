package program

import (
	"context"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

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

// channels are what this process reaches people by.
type channels struct {
	pool      *pgxpool.Pool
	log       *slog.Logger
	providers map[consumers.Channel]consumers.Provider
	sms       *twilio.Provider // nil when there is none
	pushKey   string           // empty when there is none
	outbox    bool             // some channel ends there
	docs      *documents
}

// wireChannels makes the providers. A channel that is not set up ends in the outbox.
func (p *program) wireChannels(pool *pgxpool.Pool, settings consumers.SettingsSource, docs *documents) (*channels, error) {
	book, err := wording.Open()
	if err != nil {
		return nil, err
	}
	pdfs, err := docs.provider(p)
	if err != nil {
		return nil, err
	}
	cfg, writer := p.cfg.Channels, provider.Writer{Catalog: book, Link: docs.link}
	kept := outbox.New(pool, writer)
	c := &channels{pool: pool, log: p.log, docs: docs, providers: map[consumers.Channel]consumers.Provider{
		consumers.SMS: budget.Limit(kept, pool, settings, nil), consumers.Email: kept, consumers.Push: kept, consumers.InApp: inbox.New(pool, writer),
		consumers.PDF: pdfs,
	}}
	if cfg.SMS.Account != "" {
		callbacks := ""
		if cfg.Public != "" {
			callbacks = strings.TrimRight(cfg.Public, "/") + httpapi.SMSCallbackPath
		}
		if c.sms, err = twilio.New(twilio.Config{
			URL: cfg.SMS.URL, Account: cfg.SMS.Account, Token: cfg.SMS.Token, OldToken: cfg.SMS.OldToken, From: cfg.SMS.From, Service: cfg.SMS.Service,
			OwnNames: cfg.SMS.OwnNames, IdempotencyHeader: cfg.SMS.IdempotencyHeader, Rate: cfg.SMS.Rate, Timeout: p.cfg.Jobs.Timeout,
			Callbacks: callbacks, Writer: writer, FindDelivery: c.findByProviderID,
		}); err != nil {
			return nil, ConfigError{err}
		}
		p.onClose(c.sms.Close)
		c.providers[consumers.SMS] = budget.Limit(c.sms, pool, settings, nil)
	}
	if cfg.Mail.Host != "" {
		mail, err := smtp.New(smtp.Config{
			Host: cfg.Mail.Host, Port: cfg.Mail.Port, Security: smtp.Security(cfg.Mail.Security), Username: cfg.Mail.Username,
			Password: cfg.Mail.Password, From: cfg.Mail.From, Rate: cfg.Mail.Rate, Timeout: p.cfg.Jobs.Timeout, Writer: writer,
		})
		if err != nil {
			return nil, ConfigError{err}
		}
		p.onClose(mail.Close)
		c.providers[consumers.Email] = mail
	}
	if cfg.Push.Key != "" {
		push, err := webpush.New(webpush.Config{
			Key: cfg.Push.Key, Contact: cfg.Push.Contact, Timeout: p.cfg.Jobs.Timeout, Subscriptions: webpush.NewStore(pool), Writer: writer,
		})
		if err != nil {
			return nil, ConfigError{err}
		}
		p.onClose(push.Close)
		c.providers[consumers.Push], c.pushKey = push, push.PublicKey()
	}
	for _, p := range c.providers {
		c.outbox = c.outbox || p.Name() == kept.Name()
	}
	return c, nil
}

// findByProviderID finds the delivery that a provider knows by a name.
func (c *channels) findByProviderID(ctx context.Context, providerName, providerID string) (id string, err error) {
	err = c.pool.QueryRow(ctx, `SELECT coalesce(max(id), '') FROM schoolbell.ledger WHERE provider = $1 AND provider_id = $2 AND provider_id <> ''`,
		providerName, providerID).Scan(&id)
	return id, err
}

// routes is what the API shows of deliveries.
func (c *channels) routes(kept *ledger.Ledger, settings *ledger.Settings, planners *consumers.Planners) *httpapi.Consumers {
	routes := &httpapi.Consumers{
		Ledger: kept, Settings: settings, Planners: planners, Link: c.docs.linkTo, Documents: c.docs.serve, PushKey: c.pushKey, Outbox: c.outbox,
	}
	if c.sms != nil {
		routes.SMSCallback = c.sms.Callback(kept, c.log)
	}
	return routes
}
