package consumers

import (
	"encoding/hex"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/language"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/exact"
)

// InvalidSettingsError lists everything that is wrong with settings, and where.
type InvalidSettingsError struct {
	Faults []domain.Fault
}

func (e *InvalidSettingsError) Error() string {
	var b strings.Builder
	b.WriteString("invalid settings:")
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteString(";")
		}
		if f.Pointer != "" {
			b.WriteString(" " + f.Pointer)
		}
		b.WriteString(" " + f.Reason)
	}
	return b.String()
}

// ReadSettings reads settings as a school writes them. Rules of no planner and unknown members are
// refused: a misspelt one would have no effect, and the school would not notice. The logo is
// uploaded by itself, so settings without the member keep it. The error is an
// [*InvalidSettingsError].
func (p *Planners) ReadSettings(school string, written []byte) (*Settings, error) {
	s := &Settings{}
	if err := json.Unmarshal(written, s, json.RejectUnknownMembers(true)); err != nil {
		return nil, &InvalidSettingsError{[]domain.Fault{faultOf(err)}}
	}
	s.School = school
	var members struct {
		Logo jsontext.Value `json:"logo"`
	}
	if err := json.Unmarshal(written, &members); err != nil {
		return nil, &InvalidSettingsError{[]domain.Fault{faultOf(err)}}
	}
	s.KeepLogo = members.Logo == nil
	var f domain.Faults
	s.validate(&f, p.names)
	s.Phone.Trunk = ""
	if len(f.List) > 0 {
		return nil, &InvalidSettingsError{f.List}
	}
	return s, nil
}

// faultOf describes what is wrong with JSON, and where.
func faultOf(err error) domain.Fault {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return domain.Fault{Pointer: string(syntax.JSONPointer), Reason: "is not valid JSON: " + syntax.Err.Error()}
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return domain.Fault{Reason: err.Error()}
	}
	reason := "must not be a " + kindName(semantic.JSONKind)
	switch {
	case errors.Is(err, json.ErrUnknownName):
		reason = "is unknown"
	case semantic.GoType == reflect.TypeFor[Clock]():
		reason = "must be a time of day, for example 21:30"
	case semantic.GoType == reflect.TypeFor[exact.Fraction]() && semantic.Err != nil:
		reason = semantic.Err.Error()
	case semantic.GoType == reflect.TypeFor[int](), semantic.GoType == reflect.TypeFor[int64]():
		reason = "must be a whole number"
	}
	return domain.Fault{Pointer: string(semantic.JSONPointer), Reason: reason}
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '{':
		return "object"
	case '[':
		return "list"
	case '"':
		return "text"
	case '0':
		return "number"
	case 'n':
		return "null"
	default:
		return "truth value"
	}
}

// maxAfterLeaving is ten years, in days.
const maxAfterLeaving = 3660

// maxSenderLength is how many letters telephones show of a sender's name.
const maxSenderLength = 11

func (s *Settings) validate(f *domain.Faults, planners []string) {
	f.OptionalName("/name", s.Name)
	if !validSender(s.Sender) {
		f.Add("/sender", "must be at most %d letters, digits and spaces, at least one of them a "+
			"letter, or a telephone number, for example +15125550100", maxSenderLength)
	}
	if _, err := time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "Local" {
		f.Add("/time_zone", "must be a time zone, for example Africa/Abidjan")
	}
	if _, err := language.Parse(s.Language); s.Language != "" && err != nil {
		f.Add("/language", "must be a language tag, for example fr or pt-BR")
	}
	if s.Currency != "" {
		f.Currency("/currency", s.Currency)
	}
	between(f, "/year_from", s.YearFrom, 0, 12)
	s.Attendance.Validate(f, "/attendance")
	if _, err := calendar.ParseWeek(s.Week); err != nil {
		f.Add("/week", "%s", err)
	}
	if !digits(s.Phone.Country, 3) || s.Phone.region() == unknownRegion {
		f.Add("/phone/country", "must be the calling code of a country, for example 44")
	}
	if !digits(s.Phone.Trunk, 3) {
		f.Add("/phone/trunk", "must be at most 3 digits, for example 0")
	}
	if s.Budget < 0 {
		f.Add("/sms_budget", "must not be negative")
	}
	if s.TeachersSee != "" && s.TeachersSee != teachersSeeClasses &&
		s.TeachersSee != teachersSeeSchool {
		f.Add("/teachers_see", "must be classes or school")
	}
	between(f, "/after_leaving", s.AfterLeaving, -1, maxAfterLeaving)
	s.Marks.Validate(f, "/marks")
	between(f, "/reminders/most", s.Reminders.Max, 0, 50)
	between(f, "/reminders/every", s.Reminders.Every, 0, 365)
	if hash, err := hex.DecodeString(s.Logo); s.Logo != "" && (err != nil || len(hash) != 32) {
		f.Add("/logo", "must be the SHA-256 of a stored picture, in hexadecimal")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Rules)) {
		rule := s.Rules[name]
		at := "/rules/" + string(jsontext.Pointer("").AppendToken(name)[1:])
		if !slices.Contains(planners, name) {
			f.Add(at, "is not a rule; the rules are %s", strings.Join(planners, ", "))
			continue
		}
		rule.validate(f, at)
		if rule.Per != "" && name != ruleOfSessions {
			f.Add(at+"/per", "is only for the rule "+ruleOfSessions)
		}
	}
}

// ruleOfSessions is the rule about what happens in each session of a day.
const ruleOfSessions = "absence"

func (r *Rule) validate(f *domain.Faults, at string) {
	if r.On && r.Off {
		f.Add(at, "cannot be on and off")
	}
	if r.MaxAge < -1 {
		f.Add(at+"/max_age", "must be a number of days, 0 for the rule's own limit or -1 for none")
	}
	if r.Per != "" && r.Per != PerDay && r.Per != PerSession {
		f.Add(at+"/per", "must be %s or %s", PerDay, PerSession)
	}
	fallbacks := []string{OtherGuardians, string(SMS), string(Email), string(Push)}
	for i, way := range r.Fallback {
		if !slices.Contains(fallbacks, way) || slices.Contains(r.Fallback[:i], way) {
			f.Add(at+"/fallback", "must be some of guardians, sms, email and push, each at most once")
			break
		}
	}
	permitted := []Channel{SMS, Email, Push, InApp}
	for i, c := range r.Channels {
		if !slices.Contains(permitted, c) || slices.Contains(r.Channels[:i], c) {
			f.Add(at+"/channels", "must be some of sms, email, push and in_app, each at most once")
			break
		}
	}
}

func between(f *domain.Faults, at string, n, lo, hi int) {
	if n < lo || n > hi {
		f.Add(at, "must be between %d and %d", lo, hi)
	}
}

func digits(s string, limit int) bool {
	return len(s) <= limit && strings.Trim(s, "0123456789") == ""
}

// validSender reports whether a text can be sent from a name: an alphanumeric one of GSM, or a
// number.
func validSender(s string) bool {
	if number, ok := strings.CutPrefix(s, "+"); ok {
		return len(number) >= 3 && digits(number, 15)
	}
	letter := false
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
			letter = true
		case r >= '0' && r <= '9' || r == ' ':
		default:
			return false
		}
	}
	return s == "" || letter && len(s) <= maxSenderLength
}
