package config

import (
	"fmt"
	"net/url"
)

// Channels says how people are reached. A channel that is not set up ends in the outbox, where its messages can be looked
// at.
type Channels struct {
	Public string `name:"public-url" env:"SCHOOLBELL_PUBLIC_URL" placeholder:"https://…" help:"Where this is reached from outside: for receipts of text messages and links to documents."`

	SMS  SMS  `embed:"" prefix:"sms-" envprefix:"SCHOOLBELL_SMS_"`
	Mail Mail `embed:"" prefix:"mail-" envprefix:"SCHOOLBELL_MAIL_"`
	Push Push `embed:"" prefix:"push-" envprefix:"SCHOOLBELL_PUSH_"`
}

// SMS is an account with a service for text messages.
type SMS struct {
	URL               string  `name:"url" env:"URL" default:"https://api.twilio.com" placeholder:"https://…" help:"A service that speaks Twilio's interface."`
	Account           string  `env:"ACCOUNT" placeholder:"SID" help:"The account. Without one, text messages end in the outbox."`
	Token             string  `env:"TOKEN" placeholder:"TOKEN" secret:"" help:"Its auth token."`
	OldToken          string  `env:"OLD_TOKEN" placeholder:"TOKEN" secret:"" help:"The token of before, which receipts may still be signed with."`
	From              string  `env:"FROM" placeholder:"NUMBER" help:"The number or name that sends."`
	Service           string  `env:"SERVICE" placeholder:"SID" help:"A messaging service that chooses the number."`
	OwnNames          bool    `env:"OWN_NAMES" help:"Send by the name that a school has chosen for itself, where the country allows it."`
	IdempotencyHeader string  `env:"IDEMPOTENCY_HEADER" placeholder:"NAME" help:"The header by which the service knows a message that it is asked to send again. Twilio has none."`
	Rate              float64 `env:"RATE" default:"0" placeholder:"N" help:"Messages a second at most; 0 is any number."`
}

// Mail is a mail server.
type Mail struct {
	Host     string  `env:"HOST" placeholder:"HOST" help:"The mail server. Without one, mail ends in the outbox."`
	Port     int     `env:"PORT" default:"0" placeholder:"PORT" help:"Its port; 0 is the usual one."`
	Security string  `env:"SECURITY" default:"starttls" enum:"starttls,tls,plain" help:"How the connection is protected: ${enum}."`
	Username string  `env:"USERNAME" placeholder:"NAME" help:"Who sends, for servers that ask."`
	Password string  `env:"PASSWORD" placeholder:"PASSWORD" secret:"" help:"The password."`
	From     string  `env:"FROM" placeholder:"ADDRESS" help:"The address that mail comes from."`
	Rate     float64 `env:"RATE" default:"0" placeholder:"N" help:"Messages a second at most; 0 is any number."`
}

// Push is who sends notices to browsers.
type Push struct {
	Key     string `env:"KEY" placeholder:"KEY" secret:"" help:"The private VAPID key, in base64url. Without one, notices end in the outbox."`
	Contact string `env:"CONTACT" placeholder:"mailto:…" help:"Whom push services write to."`
}

func (c Channels) validate() error {
	if c.Public == "" {
		return nil
	}
	if u, err := url.Parse(c.Public); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("public-url: %q is not an address such as https://school.example", c.Public)
	}
	return nil
}
