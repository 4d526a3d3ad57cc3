package config

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Channels says how people are reached. Messages of a channel that is not configured end in the
// outbox, where they can be inspected.
type Channels struct {
	Public string `name:"public-url" env:"SCHOOLBELL_PUBLIC_URL" placeholder:"https://…" help:"Public address of this installation, for delivery receipts and links to documents."`

	SMS  SMS  `embed:"" prefix:"sms-" envprefix:"SCHOOLBELL_SMS_"`
	Mail Mail `embed:"" prefix:"mail-" envprefix:"SCHOOLBELL_MAIL_"`
	Push Push `embed:"" prefix:"push-" envprefix:"SCHOOLBELL_PUSH_"`
}

// SMS is an account with a service for text messages.
type SMS struct {
	URL               string  `name:"url" env:"URL" default:"https://api.twilio.com" placeholder:"https://…" help:"A service with Twilio's interface."`
	Account           string  `env:"ACCOUNT" placeholder:"SID" help:"The account. Without one, text messages end in the outbox."`
	Token             string  `env:"TOKEN" placeholder:"TOKEN" secret:"" help:"The account's auth token."`
	OldToken          string  `env:"OLD_TOKEN" placeholder:"TOKEN" secret:"" help:"The previous auth token, still accepted on delivery receipts."`
	From              string  `env:"FROM" placeholder:"NUMBER" help:"The sending number or name."`
	Service           string  `env:"SERVICE" placeholder:"SID" help:"A messaging service that chooses the number."`
	OwnNames          bool    `env:"OWN_NAMES" help:"Send under the sender name in a school's settings, where the country allows it."`
	IdempotencyHeader string  `env:"IDEMPOTENCY_HEADER" placeholder:"NAME" help:"Header by which the service recognises a repeated request. Twilio has none."`
	Rate              float64 `env:"RATE" default:"0" placeholder:"N" help:"Maximum messages per second; 0 is unlimited."`

	Settle time.Duration `env:"SETTLE" default:"5m" help:"After a request without a usable response: how long until a text that is not in the service's list counts as not sent. At least the longest time that the service takes for a request."`
}

// Mail is a mail server.
type Mail struct {
	Host     string  `env:"HOST" placeholder:"HOST" help:"The mail server. Without one, mail ends in the outbox."`
	Port     int     `env:"PORT" default:"0" placeholder:"PORT" help:"Its port; 0 is the standard one."`
	Security string  `env:"SECURITY" default:"starttls" enum:"starttls,tls,plain" help:"How the connection is protected: ${enum}."`
	Username string  `env:"USERNAME" placeholder:"NAME" help:"User name, for servers that require one."`
	Password string  `env:"PASSWORD" placeholder:"PASSWORD" secret:"" help:"Password of that user."`
	From     string  `env:"FROM" placeholder:"ADDRESS" help:"Sender address."`
	Rate     float64 `env:"RATE" default:"0" placeholder:"N" help:"Maximum messages per second; 0 is unlimited."`
}

// Push identifies the installation to the push services of browsers.
type Push struct {
	Key     string `env:"KEY" placeholder:"KEY" secret:"" help:"Private VAPID key, in base64url. Without one, push messages end in the outbox."`
	Contact string `env:"CONTACT" placeholder:"mailto:…" help:"Contact address for push services: mailto: or https:, on the internet."`
}

func (c Channels) validate() error {
	var faults []error
	u, err := url.Parse(c.Public)
	if c.Public != "" &&
		(err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		faults = append(faults,
			fmt.Errorf("public-url: %q is not an address such as https://school.example", c.Public))
	}
	if c.SMS.Settle < ProviderTimeout {
		faults = append(faults, fmt.Errorf("sms-settle: %s is less than %s, which a request may take",
			c.SMS.Settle, ProviderTimeout))
	}
	return errors.Join(faults...)
}
