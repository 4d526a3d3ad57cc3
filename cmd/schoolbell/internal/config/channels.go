package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/schoolbell/schoolbell/consumers/provider/budget"
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

	PerSchool int64    `name:"per-school" env:"PER_SCHOOL" default:"10000" placeholder:"N" help:"Maximum SMS segments of one school on a day; 0 is unlimited."`
	PerNumber int64    `name:"per-number" env:"PER_NUMBER" default:"25" placeholder:"N" help:"Maximum messages of one school to one number on a day; 0 is unlimited."`
	Countries []string `env:"COUNTRIES" placeholder:"CODE" help:"Calling codes of countries whose numbers get messages, besides that of their school, for example 33,41; * is any."`
	Premium   bool     `env:"PREMIUM" help:"Send to premium numbers and international networks too."`
}

// Limits returns the limits against spending.
func (s SMS) Limits() budget.Limits {
	return budget.Limits{
		PerSchool: s.PerSchool, PerNumber: s.PerNumber, Countries: s.Countries,
		AnyCountry: slices.Contains(s.Countries, "*"), NoPremium: !s.Premium,
	}
}

func (s SMS) validate() error {
	var faults []error
	for _, n := range []struct {
		name  string
		value int64
	}{{"per-school", s.PerSchool}, {"per-number", s.PerNumber}} {
		if n.value < 0 {
			faults = append(faults, fmt.Errorf("sms-%s: %d is negative", n.name, n.value))
		}
	}
	for _, code := range s.Countries {
		if n, err := strconv.Atoi(code); code != "*" && (err != nil || n < 1 || n > 999) {
			faults = append(faults,
				fmt.Errorf("sms-countries: %q is no calling code such as 33", code))
		}
	}
	if s.Settle < ProviderTimeout {
		faults = append(faults, fmt.Errorf("sms-settle: %s is less than %s, which a request may take",
			s.Settle, ProviderTimeout))
	}
	return errors.Join(faults...)
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
	faults := []error{c.SMS.validate()}
	u, err := url.Parse(c.Public)
	if c.Public != "" &&
		(err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		faults = append(faults,
			errors.New("public-url: must be an address such as https://school.example"))
	}
	return errors.Join(faults...)
}
