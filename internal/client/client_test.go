package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/announcement"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a secret for tests that is long enough to be taken"

// bundle is the real API over a log in memory, with a hook before it for what goes wrong on the
// way.
type bundle struct {
	client *client.Client
	log    *memlog.Log
	before atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // true: it has answered
}

func setup(t *testing.T, config client.Config) *bundle {
	t.Helper()
	b := &bundle{log: memlog.New(4)}
	logger := slog.New(slog.DiscardHandler)
	verifier, err := auth.New(t.Context(), auth.Config{Secret: secret}, logger)
	require.NoError(t, err)
	api, err := httpapi.New(httpapi.Config{EventRate: 1e6}, httpapi.Deps{
		Verifier: verifier, Log: b.log, Partitions: 4, Metrics: prometheus.NewRegistry(),
		Logger: logger,
	})
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hook := b.before.Load(); hook != nil && (*hook)(w, r) {
			return
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	config.URL = server.URL
	config.Token, err = auth.Mint(secret, auth.Principal{
		Subject: "test", School: "*", Roles: []string{"operator"},
		Expires: time.Now().Add(time.Hour),
	}, time.Now())
	require.NoError(t, err)
	b.client, err = client.New(config)
	require.NoError(t, err)
	t.Cleanup(b.client.Close)
	return b
}

// interfere puts a hook before the API.
func (b *bundle) interfere(
	hook func(http.ResponseWriter, *http.Request) bool,
) {
	b.before.Store(&hook)
}

// stored counts the records of a school and checks that their ids are in order.
func (b *bundle) stored(t *testing.T, school string) int {
	t.Helper()
	n, after := 0, ""
	for {
		page, err := b.client.Events(t.Context(), school, after, 1000, 0)
		require.NoError(t, err)
		if len(page.Events) == 0 {
			return n
		}
		for _, e := range page.Events {
			require.Contains(t, string(e), fmt.Sprintf(`"id":"e-%06d"`, n))
			n++
		}
		after = page.Next.String()
	}
}

func enrolled(school string, n int) *domain.Envelope {
	data := &student.Withdrawn{StudentID: fmt.Sprint("s", n), On: domain.NewDate(2026, 1, 9)}
	return &domain.Envelope{
		ID: fmt.Sprintf("e-%06d", n), Source: "test", Type: student.TypeWithdrawn, School: school,
		Time: time.Date(2026, 1, 9, 8, 0, 0, 0, time.UTC), Data: data,
	}
}

func TestPublishAndRead(t *testing.T) {
	t.Parallel()
	b := setup(t, client.Config{})
	resp, err := b.client.Publish(t.Context(), "schöne schule",
		[]*domain.Envelope{
			enrolled("schöne schule", 0), enrolled("schöne schule", 1),
			enrolled("schöne schule", 1),
		})
	require.NoError(t, err)
	require.Equal(t, 2, resp.Accepted)
	require.Equal(t, 1, resp.Duplicates)
	require.Equal(t, int64(1), resp.Position.Offset)
	require.Equal(t, eventlog.PartitionFor("schöne schule", 4), resp.Position.Partition)
	require.Equal(t, 2, b.stored(t, "schöne schule"))
}

// Many schools and uneven sizes: every event arrives once, in its school's order.
func TestP2_StreamKeepsTheOrderOfASchool(t *testing.T) {
	t.Parallel()
	b := setup(t, client.Config{})
	var requests sync.Map // school → in flight
	b.interfere(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			_, together := requests.LoadOrStore(r.URL.Path, true)
			defer requests.Delete(r.URL.Path)
			if together {
				t.Error("two requests of one school are in flight")
			}
		}
		return false
	})
	sizes := []int{1, 2500, 10, 999, 1001, 0, 300}
	calls := 0
	totals, err := b.client.Stream(t.Context(), func(client.Totals) { calls++ },
		func(s *client.Stream) error {
			for n := range 2500 {
				for school, size := range sizes {
					if n < size {
						if err := s.Send(enrolled(fmt.Sprint("school-", school), n)); err != nil {
							return err
						}
					}
				}
			}
			return nil
		})
	require.NoError(t, err)
	require.Equal(t, totals.Requests, calls)
	sum := 0
	for school, size := range sizes {
		require.Equal(t, size, b.stored(t, fmt.Sprint("school-", school)))
		sum += size
	}
	require.Equal(t, sum, totals.Events)
}

// What fails for a while is tried again, not before Retry-After, also when the answer got lost
// after the events were written.
func TestTransientFaultsAreRetried(t *testing.T) {
	t.Parallel()
	b := setup(t, client.Config{RetryTimeout: time.Minute, ConnectTimeout: time.Minute})
	var times []time.Time
	b.interfere(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		times = append(times, time.Now())
		switch len(times) {
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		case 3:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			return false
		}
		return true
	})
	_, err := b.client.Publish(t.Context(), "s", []*domain.Envelope{enrolled("s", 0)})
	require.NoError(t, err)
	require.Len(t, times, 4)
	require.GreaterOrEqual(t, times[1].Sub(times[0]), time.Second, "Retry-After is respected")
	require.Equal(t, 1, b.stored(t, "s"))
}

// A server that takes events only as fast as they are read wants the rest later, and gets it.
func TestEventsWaitAsLongAsTheServerWants(t *testing.T) {
	t.Parallel()
	b := setup(t, client.Config{RetryTimeout: 100 * time.Millisecond})
	refusals := 0
	b.interfere(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			refusals++
		}
		if refusals > 2 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	_, err := b.client.Events(t.Context(), "s", "", 1, 0)
	var refused *client.Problem
	require.ErrorAs(t, err, &refused, "a read has its time")
	_, err = b.client.Publish(t.Context(), "s", []*domain.Envelope{enrolled("s", 0)})
	require.NoError(t, err)
	require.Equal(t, 1, b.stored(t, "s"))
}

func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, client.Config{RetryTimeout: 300 * time.Millisecond})
	b.interfere(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"title":"Service Unavailable","status":503,"detail":"the log cannot be reached"}`))
		return true
	})
	_, err := b.client.Publish(t.Context(), "s", []*domain.Envelope{enrolled("s", 0)})
	require.EqualError(t, err,
		"publish events of school s: 503 Service Unavailable: the log cannot be reached")
	require.True(t, client.Retryable(err))

	unreachable, err := client.New(client.Config{
		URL:            "http://127.0.0.1:1",
		ConnectTimeout: time.Millisecond,
	})
	require.NoError(t, err)
	_, err = unreachable.Publish(t.Context(), "s", []*domain.Envelope{enrolled("s", 0)})
	require.ErrorContains(t, err, "connection refused")
}

// What is in an address is not for logs and terminals: passwords, and what an operator has typed.
func TestErrorsDoNotRepeatTheAddress(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
	}))
	t.Cleanup(silent.Close)
	for _, address := range []string{
		"http://ops:secret@127.0.0.1:1", "ftp://ops:secret@127.0.0.1", "http://ops:secret@[::1",
		strings.Replace(silent.URL, "http://", "http://ops:secret@", 1),
	} {
		c, err := client.New(client.Config{URL: address, ConnectTimeout: time.Millisecond})
		if err == nil {
			err = c.Post(t.Context(), "/v1/skip?reason=secret", nil)
			c.Close()
		}
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "?")
	}
}

func TestRefusalNamesTheFaults(t *testing.T) {
	t.Parallel()
	b := setup(t, client.Config{})
	bad := enrolled("s", 1)
	bad.Data = &student.Withdrawn{}
	_, err := b.client.Publish(t.Context(), "s", []*domain.Envelope{enrolled("s", 0), bad})
	var p *client.Problem
	require.ErrorAs(t, err, &p)
	require.False(t, client.Retryable(err))
	require.Equal(t, http.StatusUnprocessableEntity, p.Status)
	require.NotEmpty(t, p.RequestID)
	require.Equal(t, client.Fault{
		Index: 1, Pointer: "/data/on",
		Reason: "must be a date that exists, for example 2021-08-31",
	}, p.Faults[0])
	require.Equal(t, 0, b.stored(t, "s"))
}

func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	b := setup(t, client.Config{})
	b.client.SetCompress(true)
	_, err := b.client.Publish(t.Context(), "s", []*domain.Envelope{enrolled("s", 0)})
	require.NoError(t, err)
	encodings := []string{}
	b.interfere(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		encodings = append(encodings, r.Header.Get("Content-Encoding"))
		if r.Header.Get("Content-Encoding") != "" {
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return true
		}
		return false
	})
	for n := 1; n < 3; n++ {
		_, err = b.client.Publish(t.Context(), "s", []*domain.Envelope{enrolled("s", n)})
		require.NoError(t, err)
	}
	require.Equal(t, []string{"gzip", "", ""}, encodings,
		"once refused, bodies are sent as they are")
	require.Equal(t, 3, b.stored(t, "s"))
}

func TestStreamStops(t *testing.T) {
	t.Parallel()
	b := setup(t, client.Config{})
	full := errors.New("no more")
	totals, err := b.client.Stream(t.Context(), nil, func(s *client.Stream) error {
		for n := range 10 {
			if err := s.Send(enrolled("s", n)); err != nil {
				return err
			}
		}
		return full
	})
	require.ErrorIs(t, err, full)
	require.Equal(t, 10, totals.Events, "what was sent before is published")

	ctx, cancel := context.WithCancel(t.Context())
	_, err = b.client.Stream(ctx, nil, func(s *client.Stream) error {
		cancel()
		for n := 0; ; n++ {
			if err := s.Send(enrolled("t", n)); err != nil {
				return err
			}
		}
	})
	require.ErrorIs(t, err, context.Canceled)

	_, err = b.client.Stream(t.Context(), nil, func(s *client.Stream) error {
		for n := 0; ; n++ {
			bad := enrolled("u", n)
			bad.ID = ""
			if err := s.Send(bad); err != nil {
				return err
			}
		}
	})
	var p *client.Problem
	require.ErrorAs(t, err, &p, "a refusal stops whoever sends")
}

// Events that fill more than one request by their size are split.
func TestStreamSplitsBySize(t *testing.T) {
	t.Parallel()
	b := setup(t, client.Config{})
	produced := make(chan struct{})
	b.interfere(func(http.ResponseWriter, *http.Request) bool {
		<-produced // until then, everything waits in one outbox
		return false
	})
	totals, err := b.client.Stream(t.Context(), nil, func(s *client.Stream) error {
		defer close(produced)
		for n := range 400 {
			e := enrolled("s", n)
			e.Type = announcement.TypePosted
			e.Data = &announcement.Posted{
				AnnouncementID: "a", Title: "Long", Body: strings.Repeat("é", 8000),
				Channels: []string{announcement.InApp},
			}
			if err := s.Send(e); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 400, totals.Events)
	require.Equal(t, 400, b.stored(t, "s"))
}

func TestReadLines(t *testing.T) {
	t.Parallel()
	type got struct {
		school string
		line   int
		event  string
	}
	read := func(in, school string) (events []got, err error) {
		err = client.ReadLines(strings.NewReader(in), school,
			func(school string, line int, event []byte) error {
				events = append(events, got{school, line, string(event)})
				return nil
			})
		return events, err
	}
	events, err := read("{\"school\":\"a\"}\n\n \t{\"id\":\"1\"}\r\n{\"school\":\"b\"}", "z")
	require.NoError(t, err)
	require.Equal(t, []got{
		{"a", 1, `{"school":"a"}`},
		{"z", 3, `{"id":"1"}`},
		{"b", 4, `{"school":"b"}`},
	}, events)

	for in, want := range map[string]string{
		"{\"school\":\"a\"}\nnonsense\n{\"school\":\"a\"}": "line 2 is not an event",
		"{\"school\":\"a\"}\n{\"school\":":                 "line 2 is not an event",
		"\n{}":                                             "line 2 names no school",
		`{"school":7}`:                                     "line 1 is not an event",
		`[{"school":"a"}]`:                                 "line 1 is not an event",
		"{\"school\":\"a\"}\n\"" + strings.Repeat("x", client.MaxBytes): "line 2 is longer than",
	} {
		events, err := read(in, "")
		require.ErrorContains(t, err, want)
		require.LessOrEqual(t, len(events), 1)
	}
}

func TestRefusalNamesTheLine(t *testing.T) {
	t.Parallel()
	b := setup(t, client.Config{})
	in := "\n\n" + `{"specversion":"1.0","id":"1","source":"x","type":"schoolbell.student.withdrawn.v1","school":"s","data":{"student_id":"a","on":"2026-02-30"}}`
	_, err := b.client.Stream(t.Context(), nil, func(s *client.Stream) error {
		return client.ReadLines(strings.NewReader(in), "", s.SendRaw)
	})
	require.ErrorContains(t, err, "line 3: /data/on")
}

func TestValidateNamesAllFaults(t *testing.T) {
	t.Parallel()
	_, err := client.New(client.Config{URL: "localhost:8080", Token: "a b", RetryTimeout: -1})
	for _, word := range []string{"server's address", "token", "retry timeout"} {
		require.ErrorContains(t, err, word)
	}
}
