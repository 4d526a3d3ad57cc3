package twilio_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider/twilio"
)

func TestInboundTextsOptOutAndInAgain(t *testing.T) {
	t.Parallel()
	const address = "https://school.example/v1/callbacks/sms/inbound"
	now := time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)
	text := func(body string, more ...string) url.Values {
		form := url.Values{"MessageSid": {"SM7"}, "From": {"+2250102030405"}, "Body": {body}}
		for i := 0; i < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return form
	}
	stop := &consumers.Wish{
		Provider: "twilio", MessageID: "SM7", Number: "+2250102030405", Stop: true, At: now,
	}
	start := *stop
	start.Stop = false
	for name, c := range map[string]struct {
		form   url.Values
		sign   string
		err    error
		status int
		wish   *consumers.Wish
	}{
		"stop":                       {text("STOP"), token, nil, 204, stop},
		"with a full stop":           {text(" Stop.\n"), token, nil, 204, stop},
		"in French":                  {text("ARRÊT"), token, nil, 204, stop},
		"in Arabic":                  {text("إيقاف"), token, nil, 204, stop},
		"read by the service":        {text("enough", "OptOutType", "STOP"), token, nil, 204, stop},
		"start":                      {text("Start"), token, nil, 204, &start},
		"help":                       {text("STOP", "OptOutType", "HELP"), token, nil, 204, nil},
		"a sentence":                 {text("Please stop the noise"), token, nil, 204, nil},
		"a name instead of a number": {text("STOP", "From", "OAK"), token, nil, 204, nil},
		"by the previous token":      {text("STOP"), "before", nil, 204, stop},
		"forged":                     {text("STOP"), "guess", nil, 401, nil},
		"unsigned":                   {text("STOP"), "", nil, 401, nil},
		"without the database":       {text("STOP"), token, errors.New("unavailable"), 503, stop},
		"too large":                  {text(strings.Repeat("x", 100_000)), token, nil, 413, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := client(t, twilio.Config{
				Callbacks: "https://school.example/v1/callbacks/sms", OldToken: "before", Account: account,
				Token: token, From: "+1500", Now: func() time.Time { return now },
			})
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost,
				"http://10.0.0.7:8080/v1/callbacks/sms/inbound", strings.NewReader(c.form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if c.sign != "" {
				r.Header.Set(twilio.SignatureHeader, twilio.Sign(c.sign, address, c.form))
			}
			seen, w := &recorder{err: c.err}, httptest.NewRecorder()
			p.Inbound(address, seen, quiet()).ServeHTTP(w, r)
			require.Equal(t, c.status, w.Code)
			if c.wish == nil {
				require.Empty(t, seen.wishes)
				return
			}
			require.Equal(t, []consumers.Wish{*c.wish}, seen.wishes)
		})
	}
}
