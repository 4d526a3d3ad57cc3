package consumers

import (
	"time"
)

// Settings are what a school has decided about its deliveries. The zero value is what a school gets that has decided
// nothing; which rules and channels are on then is for each planner to say.
type Settings struct {
	School   string          `json:"-"`
	Version  int64           `json:"-"`                  // grows with each change; 0 for none
	Name     string          `json:"name,omitzero"`      // what the school calls itself in texts
	Sender   string          `json:"sender,omitzero"`    // the sender's name of texts, at most 11 letters or a number
	TimeZone string          `json:"time_zone,omitzero"` // as in "Africa/Abidjan"; empty means UTC
	Language string          `json:"language,omitzero"`  // for whoever has none; empty means "en"
	Currency string          `json:"currency,omitzero"`
	YearFrom int             `json:"year_from,omitzero"` // the month in which a school year begins; 0 means August
	Phone    PhoneRules      `json:"phone,omitzero"`
	Quiet    QuietHours      `json:"quiet,omitzero"`
	Budget   int64           `json:"sms_budget,omitzero"` // SMS segments a month; 0 means no limit
	Rules    map[string]Rule `json:"rules,omitempty"`     // by planner
	Logo     string          `json:"logo,omitzero"`       // the hash of a stored picture
}

// Rule is what a school has decided about one planner.
type Rule struct {
	Off      bool      `json:"off,omitzero"`
	On       bool      `json:"on,omitzero"`        // for a planner that is off unless asked for
	Channels []Channel `json:"channels,omitempty"` // instead of the planner's own
	MaxAge   int       `json:"max_age,omitzero"`   // in days: events about older dates are passed over; 0 means the planner's own, -1 no limit
	After    int       `json:"after,omitzero"`     // days, for rules that wait
}

// QuietHours are when nobody is to be disturbed by what is not urgent, by the school's clock; both zero means never.
type QuietHours struct {
	From int `json:"from,omitzero"` // minutes after midnight
	To   int `json:"to,omitzero"`
}

// PhoneRules say how numbers without a country are dialled: the country's code is put in place of the trunk prefix. The
// zero value dials numbers as in North America: code 1 and no prefix.
type PhoneRules struct {
	Country string `json:"country,omitzero"` // as in "44"
	Trunk   string `json:"trunk,omitzero"`   // as in "0"
}

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
