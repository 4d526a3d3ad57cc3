package consumers

import (
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/marks"
	"github.com/schoolbell/schoolbell/domain/presence"
)

// Settings are what a school has decided about its deliveries. The zero value is for a school that
// has decided nothing; which rules and channels are on then is up to each planner.
type Settings struct {
	School    string          `json:"-"`
	Version   int64           `json:"-"` // grows with each change; 0 for none
	Name      string          `json:"name,omitzero" doc:"The school's name for itself in texts" example:"Oak Primary School"`
	Sender    string          `json:"sender,omitzero" doc:"The sender's name of texts: at most 11 letters, digits and spaces, or a number, for example +15125550100" example:"OAK SCHOOL"`
	TimeZone  string          `json:"time_zone,omitzero" doc:"For example Africa/Abidjan; UTC by default" example:"Africa/Abidjan"`
	Language  string          `json:"language,omitzero" doc:"For recipients without a language of their own, BCP 47; en by default" example:"fr"`
	Currency  string          `json:"currency,omitzero" doc:"ISO 4217" example:"XOF"`
	YearFrom  int             `json:"year_from,omitzero" doc:"The month in which a school year begins; 0 means August" example:"9"`
	Phone     PhoneRules      `json:"phone,omitzero"`
	Quiet     QuietHours      `json:"quiet,omitzero"`
	Budget    int64           `json:"sms_budget,omitzero" doc:"SMS segments a month; 0 means no limit. Urgent announcements are sent even beyond it" example:"5000"`
	Rules     map[string]Rule `json:"rules,omitempty" doc:"Settings of single rules, by name"`
	Reminders Reminders       `json:"reminders,omitzero"`
	// How attendance is counted is decided by packages attendance and calendar.
	Attendance presence.Rules `json:"attendance,omitzero"`
	Week       []string       `json:"week,omitempty" doc:"The days of the week with school, where the calendar says nothing else: sun, mon, tue, wed, thu, fri, sat; without it Monday to Friday"`
	Marks      marks.Rules    `json:"marks,omitzero" doc:"How scores make averages and ranks"`
	// Who sees what is decided by package access.
	TeachersSee  string `json:"teachers_see,omitzero" enum:"classes,school" doc:"Which students teachers see: those of their classes, by default, or all of the school"`
	AfterLeaving int    `json:"after_leaving,omitzero" doc:"For how many days after a student has left the family still sees what there is; 0 means 365, -1 not a day" example:"90"`
	Logo         string `json:"logo,omitzero" doc:"The SHA-256 of a stored picture. It stays when it is left out, and goes with null"`
	KeepLogo     bool   `json:"-"` // the logo was left out: it stays what it was
}

// Rule is what a school has decided about one planner.
type Rule struct {
	Off      bool      `json:"off,omitzero" doc:"The rule plans nothing"`
	On       bool      `json:"on,omitzero" doc:"The rule plans, though it is off by default"`
	Channels []Channel `json:"channels,omitempty" doc:"Instead of the rule's own: sms, email, push, in_app"`
	Per      Per       `json:"per,omitzero" enum:"day,session" doc:"Of the rule absence: whether a family is told once a day, which is the default, or of each session"`
	Fallback []string  `json:"fallback,omitempty" doc:"How else to reach a family, in this order, when no channel of the rule does, or a text or mail fails: guardians (those who are not primary, by the rule's channels), sms, email, push"`
	MaxAge   int       `json:"max_age,omitzero" doc:"Days: events about an older date are ignored; 0 means the rule's own limit, -1 no limit"`
}

// OtherGuardians is the fallback to guardians who are not primary.
const OtherGuardians = "guardians"

// Per is how often a rule says something.
type Per string

// How often a rule says something.
const (
	PerDay     Per = "day"
	PerSession Per = "session"
)

// QuietHours are when recipients are not disturbed unless it is urgent, by the school's clock; both
// zero means never.
type QuietHours struct {
	From Clock `json:"from,omitzero" doc:"For example 21:30, by the school's clock"`
	To   Clock `json:"to,omitzero" doc:"For example 07:00; both 00:00 means never"`
}

// Reminders say when guardians are reminded of an unpaid fee. The zero value reminds of none: a
// school's own system may do so already.
type Reminders struct {
	Max   int   `json:"most,omitzero" doc:"Reminders of one invoice; 0 means none" example:"3"`
	Every int   `json:"every,omitzero" doc:"Days between the due date and the first reminder, and between two; 0 means 7" example:"7"`
	At    Clock `json:"at,omitzero" doc:"When the day's reminders are made, by the school's clock; 00:00 means 09:00"`
}

// Clock is a time of day in minutes after midnight, written "21:30".
type Clock int

// String implements [fmt.Stringer].
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", c/60, c%60) }

// MarshalText implements [encoding.TextMarshaler].
func (c Clock) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *Clock) UnmarshalText(text []byte) error {
	t, err := time.Parse("15:04", string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time of day, for example 21:30", text)
	}
	*c = ClockOf(t)
	return nil
}

// ClockOf returns the time of day of t in its own location.
func ClockOf(t time.Time) Clock { return Clock(t.Hour()*60 + t.Minute()) }

// Access returns what the school has decided about access.
func (s *Settings) Access() access.Policy {
	return access.Policy{
		TeachersSeeAll: s.TeachersSee == teachersSeeSchool, AfterLeaving: s.AfterLeaving,
	}
}

// SchoolWeek returns the days of the week with school.
func (s *Settings) SchoolWeek() calendar.Week {
	w, _ := calendar.ParseWeek(s.Week) // it has been validated; else it is the default
	return w
}

// What teachers may see, besides the default.
const (
	teachersSeeClasses = "classes"
	teachersSeeSchool  = "school"
)

// Location returns the school's time zone, or UTC when it has none that is known.
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
