package consumers_test

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
)

func planners(t *testing.T) *consumers.Planners {
	t.Helper()
	nothing := func(*domain.Envelope, consumers.Facts, *consumers.Settings) []consumers.Delivery { return nil }
	p, err := consumers.NewPlanners(
		consumers.Planner{Name: "absence", Types: []string{"a"}, Plan: nothing}, consumers.Planner{Name: "invoice", Types: []string{"b"}, Plan: nothing},
	)
	require.NoError(t, err)
	return p
}

func TestSettingsRoundTrip(t *testing.T) {
	t.Parallel()
	const written = `{"name":"École du Chêne","sender":"CHENE 1","time_zone":"Europe/Paris","language":"fr","currency":"EUR","year_from":9,` +
		`"phone":{"country":"33"},"quiet":{"from":"20:30","to":"07:00"},"sms_budget":5000,` +
		`"rules":{"absence":{"channels":["sms","push"],"max_age":-1}},"reminders":{"most":3,"every":7,"at":"10:15"},` +
		`"attendance":{"mode":"exceptions","day":{"*":"1/6","am":"1/2"},"chronic":15,"severe":40,"min_days":20},"week":["sun","mon"]}`
	s, err := planners(t).ReadSettings("oak", []byte(written))
	require.NoError(t, err)
	require.Equal(t, "oak", s.School)
	require.Equal(t, consumers.Clock(20*60+30), s.Quiet.From)
	again, err := json.Marshal(s)
	require.NoError(t, err)
	require.JSONEq(t, written, string(again))
}

func TestP9_BadSettingsAreRefusedWithAllFaults(t *testing.T) {
	t.Parallel()
	for written, want := range map[string][]string{
		`{"name":"Oak"`:                          {" is not valid JSON: unexpected EOF"},
		`{"nam":"Oak"}`:                          {"/nam is unknown"},
		`{"quiet":{"form":"20:00"}}`:             {"/quiet/form is unknown"},
		`{"quiet":{"from":"8pm"}}`:               {"/quiet/from must be a time of day, for example 21:30"},
		`{"quiet":{"from":1260}}`:                {"/quiet/from must be a time of day, for example 21:30"},
		`{"rules":{"absence":{"off":"yes"}}}`:    {"/rules/absence/off must not be a text"},
		`{"year_from":1.5}`:                      {"/year_from must be a whole number"},
		`[]`:                                     {" must not be a list"},
		`{"sender":"THE SCHOOL OF OAK"}`:         {"/sender must be at most 11 letters, digits and spaces, at least one of them a letter, or a telephone number, for example +15125550100"},
		`{"sender":"12345"}`:                     {"/sender must be at most 11 letters, digits and spaces, at least one of them a letter, or a telephone number, for example +15125550100"},
		`{"time_zone":"Mars/Olympus"}`:           {"/time_zone must be a time zone, for example Africa/Abidjan"},
		`{"language":"french!","currency":"€"}`:  {"/language must be a language tag, for example fr or pt-BR", "/currency must be an ISO 4217 currency code, for example EUR"},
		`{"year_from":13,"sms_budget":-1}`:       {"/year_from must be between 0 and 12", "/sms_budget must not be negative"},
		`{"phone":{"country":"+44"},"logo":"x"}`: {"/phone/country must be the calling code of a country, for example 44", "/logo must be the SHA-256 of a stored picture, in hexadecimal"},
		`{"phone":{"country":"999"}}`:            {"/phone/country must be the calling code of a country, for example 44"},
		`{"phone":{"trunk":"none"}}`:             {"/phone/trunk must be at most 3 digits, for example 0"},
		`{"reminders":{"most":51,"every":-1}}`:   {"/reminders/most must be between 0 and 50", "/reminders/every must be between 0 and 365"},
		`{"attendance":{"mode":"some","chronic":101}}`: {
			"/attendance/mode must be one of all, exceptions", "/attendance/chronic must be between 0 and 100",
		},
		`{"attendance":{"day":{"P1":"2/1"}}}`: {
			`/attendance/day/P1 "2/1" is not a part of a day between 0 and 1, for example 1/2 or 0.25, with a denominator of at most 1000`,
		},
		`{"week":["mon","mon"]}`:   {"/week must be some of [sun mon tue wed thu fri sat], each at most once"},
		`{"rules":{"absense":{}}}`: {"/rules/absense is not a rule; the rules are absence, invoice"},
		`{"rules":{"a/b":{}}}`:     {"/rules/a~1b is not a rule; the rules are absence, invoice"},
		`{"rules":{"invoice":{"on":true,"off":true},"absence":{"channels":["sms","sms"],"max_age":-2}}}`: {
			"/rules/absence/max_age must be a number of days, 0 for the rule's own limit or -1 for none",
			"/rules/absence/channels must be some of sms, email, push and in_app, each at most once", "/rules/invoice cannot be on and off",
		},
		`{"rules":{"absence":{"channels":["pdf"]}}}`: {"/rules/absence/channels must be some of sms, email, push and in_app, each at most once"},
	} {
		_, err := planners(t).ReadSettings("oak", []byte(written))
		var invalid *consumers.InvalidSettingsError
		require.ErrorAs(t, err, &invalid, written)
		var got []string
		for _, f := range invalid.Faults {
			got = append(got, f.Pointer+" "+f.Reason)
		}
		require.Equal(t, want, got, written)
	}
}
