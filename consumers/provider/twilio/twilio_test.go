package twilio_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
	"github.com/schoolbell/schoolbell/consumers/provider/faulty"
	"github.com/schoolbell/schoolbell/consumers/provider/providertest"
	"github.com/schoolbell/schoolbell/consumers/provider/twilio"
	"github.com/schoolbell/schoolbell/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const account, token = "AC123", "secret"

func service(t *testing.T, c faulty.SMSConfig) *faulty.SMS {
	t.Helper()
	c.Account, c.Token, c.Sign = account, token, twilio.Sign
	s := faulty.NewSMS(c)
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, c twilio.Config) *twilio.Provider {
	t.Helper()
	catalog, err := wording.Open()
	require.NoError(t, err)
	c.Writer = provider.Writer{Catalog: catalog}
	if c.Account == "" {
		c.Account, c.Token, c.From = account, token, "+15005550006"
	}
	p, err := twilio.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func text(id string) *consumers.Delivery {
	return &consumers.Delivery{
		ID: id, School: "oak", Recipient: "g1", Channel: consumers.SMS, Address: "+15125550101",
		Language: "en",
		Template: wording.Absence,
		Params: wording.Params{
			Sender: "Oak", Student: "Ada O’Neil",
			Date: domain.NewDate(2026, 9, 1), Session: "day",
		}.Encode(),
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	s := service(t, faulty.SMSConfig{})
	p := client(t, twilio.Config{URL: s.URL})
	r, err := p.Send(t.Context(), text("d1"))
	require.NoError(t, err)
	require.Equal(t, consumers.Receipt{
		State: consumers.Sent, ProviderID: s.Messages()[0].SID,
		Segments: 1,
	}, r)
	require.Equal(t, "Oak: Ada O'Neil was absent without an excuse on Tuesday 1 September 2026. Please contact the school.", s.Messages()[0].Body)
	require.Equal(t, "+15005550006", s.Messages()[0].From)

	named := text("d2")
	named.Sender = "OAK"
	_, err = client(t, twilio.Config{
		URL: s.URL, OwnNames: true, Account: account, Token: token,
		Service: "MG1",
	}).Send(t.Context(), named)
	require.NoError(t, err)
	require.Equal(t, "OAK", s.Messages()[1].From)

	long := text("d3")
	long.Template, long.Params = wording.Announcement,
		wording.Params{
			Sender: "Oak", Title: "T",
			Body: strings.Repeat("The bus is late. ", 500),
		}.Encode()
	r, err = p.Send(t.Context(), long)
	require.NoError(t, err)
	require.Equal(t, 4, r.Segments, "shortened")
	n, err := p.Count(t.Context(), long)
	require.NoError(t, err)
	require.Equal(t, 4, n)
}

func TestErrorClasses(t *testing.T) {
	t.Parallel()
	providertest.ErrorClasses(t, "5550101", []providertest.Outcome{
		{Fault: faulty.Busy, Class: consumers.Temporary, Code: "20429"},
		{Fault: faulty.Broken, Class: consumers.Unsure, Code: "20500"},
		{Fault: faulty.BrokenTaken, Class: consumers.Unsure, Code: "20500", Taken: 1},
		{Fault: faulty.Silent, Class: consumers.Unsure, Code: "no_answer"},
		{Fault: faulty.SilentTaken, Class: consumers.Unsure, Code: "no_answer", Taken: 1},
		{Fault: faulty.Hangup, Class: consumers.Unsure, Code: "no_answer"},
		{Fault: faulty.HangupTaken, Class: consumers.Unsure, Code: "no_answer", Taken: 1},
		{Fault: faulty.Refuse, Class: consumers.Permanent, Code: "21211"},
		{Fault: faulty.Garbled, Class: consumers.Unsure, Code: "no_id", Taken: 1},
		{Fault: faulty.Empty, Class: consumers.Unsure, Code: "no_id", Taken: 1},
		{Fault: faulty.Portal, Class: consumers.Unsure, Code: "no_id"},
		{Fault: faulty.ErrorBody, Class: consumers.Permanent, Code: "21211"},
		{Fault: faulty.Late, Class: consumers.Unsure, Code: "no_answer"},
	}, func(t *testing.T, fault faulty.Fault) (a providertest.Attempt) {
		s := service(t, faulty.SMSConfig{
			Faults:     faulty.Faults{fault: 1},
			RetryAfter: 7 * time.Second, Late: time.Hour,
		})
		a.Receipt, a.Err = client(t,
			twilio.Config{URL: s.URL, Timeout: 200 * time.Millisecond}).Send(t.Context(),
			text("d1"))
		a.Requests, a.Taken = s.Tally().Requests, s.Tally().Taken
		if fault == faulty.Busy {
			require.Equal(t, 7*time.Second, providertest.SendError(t, a.Err).RetryAfter)
		}
		return a
	})
}

// Services that are compatible with Twilio's write numbers where it has texts, refuse with a status
// of success, or stand behind proxies that do.
func TestOnlyAMessageWithAnIDIsSent(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]struct {
		receipt consumers.Receipt
		class   consumers.ErrorClass
		code    string
	}{
		`{"sid":"SM1","status":"queued","num_segments":2,"price":-0.0075,"to":15125550101}`: {
			receipt: consumers.Receipt{
				State: consumers.Sent, ProviderID: "SM1", Segments: 2, Cost: 7500,
			},
		},
		`{"sid":4711,"status":"sent","error_code":"","num_segments":"1"}`: {
			receipt: consumers.Receipt{State: consumers.Sent, ProviderID: "4711", Segments: 1},
		},
		`{"sid":"SM1","status":"failed","error_code":30007}`: {
			receipt: consumers.Receipt{
				State: consumers.Failed, ProviderID: "SM1", Segments: 1, Error: "failed (30007)",
			},
		},
		`{"sid":"SM1","status":"failed","error_code":"30007","sid":"SM1"}`: {
			receipt: consumers.Receipt{
				State: consumers.Failed, ProviderID: "SM1", Segments: 1, Error: "failed (30007)",
			},
		},
		`{"code":21211,"message":"not a valid number","status":400}`: {
			class: consumers.Permanent, code: "21211",
		},
		`{"code":"21211","message":"not a valid number"}`: {
			class: consumers.Permanent, code: "21211",
		},
		`{"code":20429,"message":"too many"}`:          {class: consumers.Temporary, code: "20429"},
		`{"code":20003,"status":"401"}`:                {class: consumers.Temporary, code: "20003"},
		`{"code":20500,"message":"oops","status":500}`: {class: consumers.Unsure, code: "20500"},
		`{"code":99999,"status":503}`:                  {class: consumers.Temporary, code: "99999"},
		`{"status":"queued"}`:                          {class: consumers.Unsure, code: "no_id"},
		`{"sid":null,"status":"queued"}`:               {class: consumers.Unsure, code: "no_id"},
		`{"error":"out of credit"}`:                    {class: consumers.Unsure, code: "no_id"},
		`<html>Account suspended</html>`:               {class: consumers.Unsure, code: "no_id"},
		``:                                             {class: consumers.Unsure, code: "no_id"},
		`{"sid":"SM1","sta`:                            {class: consumers.Unsure, code: "no_id"},
		`[{"sid":"SM1"}]`:                              {class: consumers.Unsure, code: "no_id"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, body)
		}))
		defer server.Close()
		receipt, err := client(t, twilio.Config{URL: server.URL}).Send(t.Context(), text("d1"))
		if want.class == "" {
			require.NoError(t, err, body)
			require.Equal(t, want.receipt, receipt, body)
			continue
		}
		require.Equal(t, want.class, providertest.SendError(t, err).Class, body)
		require.Equal(t, want.code, providertest.SendError(t, err).Code, body)
	}
}

// A proxy that lost the connection to the service says 503 as well.
func TestAProxysUnavailableIsNoRefusal(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]consumers.ErrorClass{
		`<h1>503 Service Unavailable</h1>`:             consumers.Unsure,
		`{"code":20503,"message":"busy","status":503}`: consumers.Temporary,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, body)
		}))
		defer server.Close()
		_, err := client(t, twilio.Config{URL: server.URL}).Send(t.Context(), text("d1"))
		require.Equal(t, want, providertest.SendError(t, err).Class, body)
	}
}

// The page of a proxy, or an error, is no list without the message.
func TestOnlyAListSaysThatAMessageIsNotThere(t *testing.T) {
	t.Parallel()
	for body, listed := range map[string]bool{
		`{"messages":[],"next_page_uri":null}`: true,
		`{"code":20003,"status":401}`:          false,
		`<html>Account suspended</html>`:       false,
		``:                                     false,
		`{"messages":null}`:                    false,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, body)
		}))
		defer server.Close()
		_, found, err := client(t, twilio.Config{URL: server.URL}).Status(t.Context(), text("d1"))
		require.False(t, found)
		require.Equal(t, listed, err == nil, body)
	}
}

func TestThePriceIsReadWithTheMessage(t *testing.T) {
	t.Parallel()
	for _, numbers := range []bool{false, true} {
		s := service(t, faulty.SMSConfig{Price: "-0.00750", Numbers: numbers})
		p := client(t, twilio.Config{URL: s.URL})
		r, err := p.Send(t.Context(), text("d1"))
		require.NoError(t, err)
		require.Zero(t, r.Cost)
		require.Equal(t, 1, r.Segments)
		d := text("d1")
		d.ProviderID = r.ProviderID
		r, found, err := p.Status(t.Context(), d)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, int64(7500), r.Cost)
		d.ProviderID = "SM404"
		_, found, err = p.Status(t.Context(), d)
		require.NoError(t, err)
		require.False(t, found)
	}
}

func TestWhatNeverWentOutIsTemporary(t *testing.T) {
	t.Parallel()
	gone := client(t, twilio.Config{URL: "http://127.0.0.1:1"})
	_, err := gone.Send(t.Context(), text("d1"))
	require.Equal(t, consumers.Temporary, providertest.SendError(t, err).Class)

	s := service(t, faulty.SMSConfig{})
	_, err = client(t, twilio.Config{
		URL: s.URL, Account: account, Token: "wrong",
		From: "+1500",
	}).Send(t.Context(), text("d1"))
	require.Equal(t, consumers.Temporary, providertest.SendError(t, err).Class,
		"the configuration can be fixed")
	require.Equal(t, "20003", providertest.SendError(t, err).Code)

	nonsense := text("d1")
	nonsense.Template = "nonsense"
	_, err = client(t, twilio.Config{URL: s.URL}).Send(t.Context(), nonsense)
	require.Equal(t, consumers.Permanent, providertest.SendError(t, err).Class)
	require.Zero(t, s.Tally().Requests)
}

func TestStatusFindsAcceptedMessages(t *testing.T) {
	t.Parallel()
	s := service(t, faulty.SMSConfig{Faults: faulty.Faults{faulty.SilentTaken: 1}})
	p := client(t, twilio.Config{URL: s.URL, Timeout: 200 * time.Millisecond})
	_, found, err := p.Status(t.Context(), text("d1"))
	require.NoError(t, err)
	require.False(t, found)

	_, err = p.Send(t.Context(), text("d1"))
	require.Equal(t, consumers.Unsure, providertest.SendError(t, err).Class)
	r, found, err := p.Status(t.Context(), text("d1"))
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, s.Messages()[0].SID, r.ProviderID)

	other := text("d9")
	other.Address = "+15125550109"
	_, found, err = p.Status(t.Context(), other)
	require.NoError(t, err)
	require.False(t, found)

	// Another delivery has the same text and number: without their ids the messages cannot be told
	// apart.
	_, err = p.Send(t.Context(), text("d2"))
	require.Equal(t, consumers.Unsure, providertest.SendError(t, err).Class)
	_, _, err = p.Status(t.Context(), text("d2"))
	require.ErrorContains(t, err, "several messages")

	deliveries := map[string]string{s.Messages()[0].SID: "d1"}
	knowing := client(t,
		twilio.Config{
			URL: s.URL,
			FindDelivery: func(_ context.Context, _, id string) (string,
				error,
			) {
				return deliveries[id], nil
			},
		})
	r, found, err = knowing.Status(t.Context(), text("d2"))
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, s.Messages()[1].SID, r.ProviderID)
	r, found, err = knowing.Status(t.Context(), text("d1"))
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, s.Messages()[0].SID, r.ProviderID)
	deliveries[s.Messages()[1].SID] = "d2"
	_, found, err = knowing.Status(t.Context(), text("d3"))
	require.NoError(t, err)
	require.False(t, found, "both belong to other deliveries")
}

func TestAKeyMakesRetriesHarmless(t *testing.T) {
	t.Parallel()
	s := service(t, faulty.SMSConfig{
		Faults:            faulty.Faults{faulty.HangupTaken: 1},
		IdempotencyHeader: "Idempotency-Key",
	})
	p := client(t, twilio.Config{URL: s.URL, IdempotencyHeader: "Idempotency-Key"})
	require.True(t, p.Abilities().Idempotent)
	for range 3 {
		_, err := p.Send(t.Context(), text("d1"))
		require.Equal(t, consumers.Unsure, providertest.SendError(t, err).Class)
	}
	require.Equal(t, 1, s.Tally().Taken)
	require.False(t, client(t, twilio.Config{URL: s.URL}).Abilities().Idempotent)
}

// Many concurrent deliveries against every fault. A delivery is retried only when it is certain
// that nothing was accepted; the rest is left to receipts and to the list of messages.
func TestP5_NoTextIsSentTwice(t *testing.T) {
	t.Parallel()
	const deliveries = 1500
	s := service(t, faulty.SMSConfig{
		Seed: 7, Receipts: true, Twice: 0.2, Reorder: 0.3, Forge: 0.2, Undeliver: 0.05,
		Faults: faulty.Faults{
			faulty.Busy: 0.1, faulty.Broken: 0.03, faulty.BrokenTaken: 0.03, faulty.Silent: 0.01,
			faulty.SilentTaken: 0.01,
			faulty.Hangup:      0.03, faulty.HangupTaken: 0.03, faulty.Garbled: 0.03,
		},
	})
	history := &story{states: map[string]consumers.State{}}
	for i := range deliveries {
		history.states[id(i)] = consumers.Planned
	}
	callbacks := newServer(t)
	p := client(t, twilio.Config{
		URL: s.URL, Callbacks: callbacks.URL,
		Timeout: 300 * time.Millisecond, FindDelivery: history.find,
	})
	callbacks.handle(p.Callback(history, quiet()))

	var workers sync.WaitGroup
	next := make(chan int)
	for range 32 {
		workers.Go(func() {
			for i := range next {
				history.deliver(t.Context(), t, p, id(i))
			}
		})
	}
	for i := range deliveries {
		next <- i
	}
	close(next)
	workers.Wait()
	s.Settle()

	taken := s.ByDelivery()
	unknown := 0
	for i := range deliveries {
		state := history.state(id(i))
		require.LessOrEqual(t, taken[id(i)], 1, "%s was sent twice", id(i))
		if state == consumers.Unknown {
			unknown++
			require.Zero(t, taken[id(i)], "%s was sent, and a receipt came", id(i))
			d := text(id(i))
			d.Address = "+1" + id(i)
			_, found, err := p.Status(t.Context(), d)
			require.NoError(t, err)
			require.False(t, found)
		} else {
			require.Contains(t, []consumers.State{consumers.Delivered, consumers.Failed}, state)
			require.Equal(t, 1, taken[id(i)], "%s is lost", id(i))
		}
	}
	tally := s.Tally()
	require.Positive(t, unknown)
	require.Positive(t, tally.Forged[http.StatusUnauthorized])
	require.Len(t, tally.Forged, 1, "every forged one is refused")
	require.Len(t, tally.Callbacks, 1, "every authentic one is accepted: %v", tally.Callbacks)
	t.Logf("%d deliveries, %d requests, %d taken, %d unknown and not taken; %v; callbacks %v, forged %v",
		deliveries, tally.Requests, tally.Taken, unknown, tally.Faults, tally.Callbacks,
		tally.Forged)
}
