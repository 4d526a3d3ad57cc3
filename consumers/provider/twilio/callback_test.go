package twilio_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider/providertest"
	"github.com/schoolbell/schoolbell/consumers/provider/twilio"
)

// The signatures are those that the service's own library makes (npm twilio 5).
func TestSignature(t *testing.T) {
	t.Parallel()
	require.Equal(t, "0/KCTR6DLpKmkAf8muzZqo1nDgQ=",
		twilio.Sign("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", url.Values{
			"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+12349013030"}, "Digits": {"1234"},
			"From": {"+12349013030"}, "To": {"+18005551212"},
		}))
	require.Equal(t, "RTwMxLlVsUQT7zxHhreo922EFc8=",
		twilio.Sign("tök", "https://a.example/cb?delivery=d1&expires=5", url.Values{
			"B": {"2", "1", "2"}, "A": {"ü"}, "b": {"x"},
		}))
}

func TestCallbacks(t *testing.T) {
	t.Parallel()
	const public = "https://school.example/callbacks"
	now := time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)
	good := url.Values{"MessageSid": {"SM1"}, "MessageStatus": {"delivered"}, "Price": {"-0.00750"}}
	failed := url.Values{
		"MessageSid": {"SM1"}, "MessageStatus": {"undelivered"},
		"ErrorCode": {"30003"},
	}
	query := func(delivery string, expires time.Time) string {
		return url.Values{
			"delivery": {delivery}, "school": {"oak"},
			"expires": {strconv.FormatInt(expires.Unix(), 10)},
		}.Encode()
	}
	fresh := query("d1", now.Add(time.Hour))
	for _, c := range []struct {
		name      string
		query     string
		form      url.Values
		signature string
		err       error
		status    int
		report    *consumers.Report
	}{
		{
			"delivered", fresh, good, twilio.Sign(token, public+"?"+fresh, good), nil,
			http.StatusNoContent,
			&consumers.Report{
				Provider: "twilio", ProviderID: "SM1", DeliveryID: "d1",
				School: "oak", State: consumers.Delivered, Cost: 7500, At: now,
			},
		},
		{
			"undelivered", fresh, failed, twilio.Sign(token, public+"?"+fresh, failed), nil,
			http.StatusNoContent,
			&consumers.Report{
				Provider: "twilio", ProviderID: "SM1", DeliveryID: "d1",
				School: "oak", State: consumers.Failed, Error: "undelivered (30003)", At: now,
			},
		},
		{
			"with the port written out", fresh, good,
			twilio.Sign(token, "https://school.example:443/callbacks?"+fresh, good), nil,
			http.StatusNoContent,
			&consumers.Report{
				Provider: "twilio", ProviderID: "SM1", DeliveryID: "d1",
				School: "oak", State: consumers.Delivered, Cost: 7500, At: now,
			},
		},
		{
			"by the previous token", fresh, good, twilio.Sign("before", public+"?"+fresh, good),
			nil, http.StatusNoContent,
			&consumers.Report{
				Provider: "twilio", ProviderID: "SM1", DeliveryID: "d1",
				School: "oak", State: consumers.Delivered, Cost: 7500, At: now,
			},
		},
		{"unsigned", fresh, good, "", nil, http.StatusUnauthorized, nil},
		{
			"forged", fresh, good, twilio.Sign("guess", public+"?"+fresh, good), nil,
			http.StatusUnauthorized, nil,
		},
		{
			"without a token", fresh, good, twilio.Sign("", public+"?"+fresh, good), nil,
			http.StatusUnauthorized, nil,
		},
		{
			"signed for another delivery", query("d2", now.Add(time.Hour)), good,
			twilio.Sign(token, public+"?"+fresh, good), nil, http.StatusUnauthorized, nil,
		},
		{
			"signed for another status", fresh, failed, twilio.Sign(token, public+"?"+fresh, good),
			nil, http.StatusUnauthorized, nil,
		},
		{
			"too old", query("d1", now.Add(-time.Second)), good,
			twilio.Sign(token, public+"?"+query("d1", now.Add(-time.Second)), good),
			nil, http.StatusUnauthorized, nil,
		},
		{
			"without a time", "delivery=d1", good, twilio.Sign(token, public+"?delivery=d1", good),
			nil, http.StatusUnauthorized, nil,
		},
		{
			"without a status", fresh,
			url.Values{"MessageSid": {"SM1"}},
			twilio.Sign(token, public+"?"+fresh, url.Values{"MessageSid": {"SM1"}}),
			nil, http.StatusBadRequest, nil,
		},
		{
			"of an unknown delivery", fresh, good, twilio.Sign(token, public+"?"+fresh, good),
			consumers.ErrUnknownDelivery, http.StatusNotFound, nil,
		},
		{
			"while the database is unavailable", fresh, good,
			twilio.Sign(token, public+"?"+fresh, good), errors.New("unavailable"),
			http.StatusServiceUnavailable, nil,
		},
		{
			"too large", fresh,
			url.Values{"x": {strings.Repeat("x", 100_000)}},
			"", nil,
			http.StatusRequestEntityTooLarge, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := client(t, twilio.Config{
				Callbacks: public, OldToken: "before", Account: account, Token: token,
				From: "+1500", Now: func() time.Time { return now },
			})
			seen := &recorder{err: c.err}
			// A proxy has changed its address and host on the way.
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost,
				"http://10.0.0.7:8080/v1/callbacks?"+c.query, strings.NewReader(c.form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if c.signature != "" {
				r.Header.Set(twilio.SignatureHeader, c.signature)
			}
			w := httptest.NewRecorder()
			p.Callback(seen, quiet()).ServeHTTP(w, r)
			require.Equal(t, c.status, w.Code)
			if c.report != nil {
				require.Equal(t, []consumers.Report{*c.report}, seen.reports)
			} else if c.err == nil {
				require.Empty(t, seen.reports)
			}
		})
	}
}

type recorder struct {
	err     error
	reports []consumers.Report
	wishes  []consumers.Wish
}

func (r *recorder) ReceiveWish(_ context.Context, w consumers.Wish) error {
	r.wishes = append(r.wishes, w)
	return r.err
}

func (r *recorder) Receive(_ context.Context, report consumers.Report) error {
	r.reports = append(r.reports, report)
	return r.err
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func id(i int) string { return fmt.Sprintf("%07d", i) }

// server lets a handler be set when its address is known.
type server struct {
	*httptest.Server
	handler atomic.Pointer[http.Handler]
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request,
	) {
		(*s.handler.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) handle(h http.Handler) { s.handler.Store(&h) }

// story is a minimal ledger: it holds the state of each delivery, which never goes back.
type story struct {
	mu     sync.Mutex
	states map[string]consumers.State
	names  map[string]string // deliveries by the service's name for the message
}

func (s *story) state(id string) consumers.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[id]
}

func (s *story) move(id string, to consumers.State, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[string]string{}
	}
	if name != "" {
		s.names[name] = id
	}
	switch s.states[id] {
	case consumers.Delivered, consumers.Failed:
		return
	case consumers.Sent:
		if to == consumers.Unknown {
			return
		}
	}
	s.states[id] = to
}

func (s *story) find(_ context.Context, _, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[name], nil
}

// Receive implements [consumers.Reports].
func (s *story) ReceiveWish(context.Context, consumers.Wish) error { return nil }

func (s *story) Receive(_ context.Context, r consumers.Report) error {
	if s.state(r.DeliveryID) == "" {
		return consumers.ErrUnknownDelivery
	}
	s.move(r.DeliveryID, r.State, r.ProviderID)
	return nil
}

func (s *story) deliver(ctx context.Context, t *testing.T, p *twilio.Provider, id string) {
	d := text(id)
	d.Address = "+1" + id
	for {
		r, err := p.Send(ctx, d)
		if err == nil {
			s.move(id, r.State, r.ProviderID)
			return
		}
		switch e := providertest.SendError(t, err); e.Class {
		case consumers.Unsure:
			s.move(id, consumers.Unknown, "")
			return
		case consumers.Permanent:
			s.move(id, consumers.Failed, "")
			return
		}
	}
}
