package ledger_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
	"github.com/schoolbell/schoolbell/consumers/provider/faulty"
	"github.com/schoolbell/schoolbell/consumers/provider/twilio"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// A worker is this test's own program, started again with its settings in variables.
const (
	workerDatabase = "LEDGER_TEST_DATABASE"
	workerBrokers  = "LEDGER_TEST_BROKERS"
	workerService  = "LEDGER_TEST_SERVICE"
	workerCalls    = "LEDGER_TEST_CALLBACKS"
	workerHeader   = "LEDGER_TEST_IDEMPOTENCY_HEADER"
	workerSettle   = "LEDGER_TEST_SETTLE" // without it the workers look nothing up
	account, token = "AC1", "secret"
)

func TestMain(m *testing.M) {
	if os.Getenv(workerDatabase) != "" {
		if err := work(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	devtest.Main(m)
}

// sms is the provider of the workers.
func sms(service, calls, header string, settle time.Duration) (*twilio.Provider, error) {
	book, err := wording.Open()
	if err != nil {
		return nil, err
	}
	return twilio.New(twilio.Config{
		URL: service, Account: account, Token: token, From: "+15005550006", Callbacks: calls, IdempotencyHeader: header,
		Timeout: time.Second, Settle: settle, Writer: provider.Writer{Catalog: book},
	})
}

// plain is a provider without status lookups and idempotency keys.
type plain struct{ consumers.Provider }

func (plain) Abilities() consumers.Abilities { return consumers.Abilities{} }

// work is the worker: it executes deliveries until it is killed.
func work(ctx context.Context) error {
	pool, err := postgres.NewPool(ctx, postgres.Config{URL: os.Getenv(workerDatabase), Role: postgres.Jobs, MaxConns: 10})
	if err != nil {
		return err
	}
	log, err := kafka.Open(ctx, kafka.Config{Brokers: strings.Split(os.Getenv(workerBrokers), ",")}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	if n, _ := strconv.Atoi(os.Getenv(workerInvoices)); n > 0 {
		l, err := ledger.New(ledger.Config{
			Pool: pool.Conns(), Encode: cloudevents.Encode, Log: log, Source: log, Decode: cloudevents.Decode, Settings: ledger.NewSettings(pool.Conns()),
			Overdue: owed(n, domain.DateOf(time.Now()).AddDays(-30)), RemindEvery: 100 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		return l.Run(ctx)
	}
	settle, _ := time.ParseDuration(os.Getenv(workerSettle)) // often there is none
	twilioSMS, err := sms(os.Getenv(workerService), os.Getenv(workerCalls), os.Getenv(workerHeader), settle)
	if err != nil {
		return err
	}
	var p consumers.Provider = twilioSMS
	if !p.Abilities().Idempotent && settle == 0 {
		p = plain{p}
	}
	l, err := ledger.New(ledger.Config{
		Pool: pool.Conns(), Encode: cloudevents.Encode, Log: log, Source: log, Decode: cloudevents.Decode, Providers: map[consumers.Channel]consumers.Provider{consumers.SMS: p},
		Workers: map[string]int{ledger.QueueSMS: 50}, Attempts: 50, SendTimeout: 2 * time.Second,
		RetryMin: 50 * time.Millisecond, RetryMax: time.Second,
	})
	if err != nil {
		return err
	}
	return runWithPlanners(ctx, pool, log, l)
}

// TestP5_WorkersKilledAndAFaultyProvider kills processes that plan and execute deliveries with
// SIGKILL, and freezes others, while the provider responds with errors, silence and refusals after
// it has accepted messages, and its reports come twice and in the wrong order. What the provider has
// accepted is counted there.
func TestP5_WorkersKilledAndAFaultyProvider(t *testing.T) {
	t.Parallel()
	n := devtest.Size(t, "SCHOOLBELL_FAULT_DELIVERIES", 500, 20_000)
	for name, c := range map[string]struct {
		header string
		settle time.Duration
	}{
		"with idempotency keys":    {"Idempotency-Key", 0},
		"without":                  {"", 0},
		"looked up, and much late": {"", 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testKilledWorkers(t, n, c.header, c.settle)
		})
	}
}

func testKilledWorkers(t *testing.T, n int, header string, settle time.Duration) {
	t.Helper()
	w := setupWith(t, devtest.Postgres(t))
	broker := devtest.Kafka(t)
	service := faulty.NewSMS(faulty.SMSConfig{
		Account: account, Token: token, Seed: 1, IdempotencyHeader: header, Sign: twilio.Sign, RetryAfter: time.Second,
		Receipts: header != "", Twice: 0.2, Reorder: 0.2, Forge: 0.05,
		Faults: faulty.Faults{
			faulty.Busy: 0.02, faulty.Broken: 0.03, faulty.BrokenTaken: 0.03, faulty.Silent: 0.005, faulty.SilentTaken: 0.005,
			faulty.Hangup: 0.03, faulty.HangupTaken: 0.03, faulty.Garbled: 0.01,
			faulty.Late: 0.02, faulty.Empty: 0.01, faulty.Portal: 0.01,
		},
		Late: 3 * time.Second,
	})
	reports := w.ledger(nil)
	callbacks, err := sms(service.URL, "http://127.0.0.1", header, settle)
	require.NoError(t, err)
	var front *httptest.Server
	front = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p, err := sms(service.URL, front.URL+"/callback", header, settle)
		if err != nil {
			panic(err)
		}
		p.Callback(reports, slog.New(slog.DiscardHandler)).ServeHTTP(rw, r)
		_ = p.Close()
	}))
	t.Cleanup(func() { service.Close(); front.Close(); require.NoError(t, callbacks.Close()) })

	appendMarks(t, openLog(t, broker.Brokers()), n)

	fleet := &fleet{t: t, env: append(os.Environ(), workerDatabase+"="+w.url, workerBrokers+"="+strings.Join(broker.Brokers(), ","),
		workerService+"="+service.URL, workerCalls+"="+front.URL+"/callback", workerHeader+"="+header, workerSettle+"="+settle.String())}
	t.Cleanup(fleet.stop)
	for range 3 {
		fleet.start()
	}
	kills, maxKills := 0, max(12, n/400)
	for deadline := time.Now().Add(15 * time.Minute); ; {
		states := w.states()
		total := 0
		for _, some := range states {
			total += some
		}
		open := states["planned"] + states["sending"]
		if settle > 0 {
			open += states["unknown"]
		}
		if total == n && open == 0 {
			break
		}
		require.True(t, time.Now().Before(deadline), "not done in time: %v", states)
		if (total < n || states["planned"] > 0) && kills < maxKills { // let the last ones be rescued
			kills++
			fleet.disturb(kills)
		}
		<-time.After(400 * time.Millisecond) // the pace of the disturbances
	}
	service.Settle()
	states, tally := w.states(), service.Tally()
	t.Logf("%d deliveries, %d disturbances: %v; provider: %d requests, %d taken, faults %v, callbacks %v, forged %v",
		n, kills, states, tally.Requests, tally.Taken, tally.Faults, tally.Callbacks, tally.Forged)
	taken := service.ByDelivery()
	for id, times := range taken {
		require.Equal(t, 1, times, "delivery %s was sent %d times", id, times)
	}
	require.Zero(t, states["dead"])
	if header != "" {
		require.Len(t, taken, n, "every delivery was sent")
		require.Equal(t, n, states["sent"]+states["delivered"])
		return
	}
	// Each text names its own student, so that the provider's side can be told apart without keys.
	texts := map[string]int{}
	for _, m := range service.Messages() {
		texts[m.To]++
		require.Equal(t, 1, texts[m.To], "%s got it twice", m.To)
	}
	if settle > 0 {
		require.Len(t, texts, n, "every delivery was sent")
	}
	require.Equal(t, n, states["sent"]+states["unknown"])
	sent := w.column(`SELECT address FROM schoolbell.ledger WHERE state = 'sent'`)
	for _, address := range sent {
		require.Equal(t, 1, texts[address], "%s was said to be sent", address)
	}
}

func openLog(t *testing.T, brokers []string) *kafka.Log {
	t.Helper()
	log, err := kafka.Open(t.Context(), kafka.Config{Brokers: brokers}, slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return log
}

// fleet is worker processes.
type fleet struct {
	t   *testing.T
	env []string

	mu      sync.Mutex
	workers []*exec.Cmd
}

func (f *fleet) start() {
	f.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = f.env, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(f.t, cmd.Start())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers = append(f.workers, cmd)
}

// disturb kills a worker and starts another, or freezes one for a while.
func (f *fleet) disturb(n int) {
	f.t.Helper()
	f.mu.Lock()
	i := rand.IntN(len(f.workers))
	victim := f.workers[i]
	if n%3 != 0 {
		f.workers = append(f.workers[:i:i], f.workers[i+1:]...)
	}
	f.mu.Unlock()
	if n%3 == 0 {
		require.NoError(f.t, victim.Process.Signal(syscall.SIGSTOP))
		time.AfterFunc(3*time.Second, func() { _ = victim.Process.Signal(syscall.SIGCONT) })
		return
	}
	require.NoError(f.t, victim.Process.Kill())
	_ = victim.Wait()
	f.start()
}

func (f *fleet) stop() { f.killAll() }

func (f *fleet) killAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, cmd := range f.workers {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	f.workers = nil
}
