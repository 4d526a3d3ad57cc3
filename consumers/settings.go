package consumers

import (
	"fmt"
	"time"
)

// Settings are what a school has decided about its deliveries. The zero value is what a school gets that has decided
// nothing; which rules and channels are on then is for each planner to say.
type Settings struct {
	School    string          `json:"-"`
	Version   int64           `json:"-"`                  // grows with each change; 0 for none
	Name      string          `json:"name,omitzero"`      // what the school calls itself in texts
	Sender    string          `json:"sender,omitzero"`    // the sender's name of texts, at most 11 letters or a number
	TimeZone  string          `json:"time_zone,omitzero"` // as in "Africa/Abidjan"; empty means UTC
	Language  string          `json:"language,omitzero"`  // for whoever has none; empty means "en"
	Currency  string          `json:"currency,omitzero"`
	YearFrom  int             `json:"year_from,omitzero"` // the month in which a school year begins; 0 means August
	Phone     PhoneRules      `json:"phone,omitzero"`
	Quiet     QuietHours      `json:"quiet,omitzero"`
	Budget    int64           `json:"sms_budget,omitzero"` // SMS segments a month; 0 means no limit
	Rules     map[string]Rule `json:"rules,omitempty"`     // by planner
	Reminders Reminders       `json:"reminders,omitzero"`
	Logo      string          `json:"logo,omitzero"` // the hash of a stored picture
}

// Rule is what a school has decided about one planner.
type Rule struct {
	Off      bool      `json:"off,omitzero"`
	On       bool      `json:"on,omitzero"`        // for a planner that is off unless asked for
	Channels []Channel `json:"channels,omitempty"` // instead of the planner's own
	MaxAge   int       `json:"max_age,omitzero"`   // in days: events about older dates are passed over; 0 means the planner's own, -1 no limit
}

// QuietHours are when nobody is to be disturbed by what is not urgent, by the school's clock; both zero means never.
type QuietHours struct {
	From Clock `json:"from,omitzero"`
	To   Clock `json:"to,omitzero"`
}

// Reminders say when whoever has to pay a fee is reminded of it. The zero value reminds nobody: a school's own system may
// do so already.
type Reminders struct {
	Most  int   `json:"most,omitzero"`  // of one invoice; 0 means none
	Every int   `json:"every,omitzero"` // days between the date when it was due and the first reminder, and between two; 0 means 7
	At    Clock `json:"at,omitzero"`    // when the day's reminders are made, by the school's clock; 00:00 means 09:00
}

// PhoneRules say how numbers without a country are dialled: the country's code is put in place of the trunk prefix. The
// zero value dials numbers as in North America: code 1 and no prefix.
type PhoneRules struct {
	Country string `json:"country,omitzero"` // as in "44"
	Trunk   string `json:"trunk,omitzero"`   // as in "0"
}

// Clock is a time of day in minutes after midnight, written as in "21:30".
type Clock int

// String writes it.
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", c/60, c%60) }

// MarshalText implements [encoding.TextMarshaler].
func (c Clock) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *Clock) UnmarshalText(text []byte) error {
	t, err := time.Parse("15:04", string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time of day, as in 21:30", text)
	}
	*c = ClockOf(t)
	return nil
}

// ClockOf returns what the clock on the wall shows.
func ClockOf(t time.Time) Clock { return Clock(t.Hour()*60 + t.Minute()) }

// Location returns the school's time zone, UTC when it has none or it is not known.
func (s *Settings) Location() *time.Location {
	if s.TimeZone == "" {
		return time.UTC
	}
	l, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return time.UTC
	}
	return l
}
