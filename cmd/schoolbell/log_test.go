package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/internal/devstack"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

// textService takes text messages and counts them by recipient.
type textService struct {
	*httptest.Server
	mu    sync.Mutex
	taken map[string]int
}

func newTextService(t *testing.T) *textService {
	s := &textService{taken: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.Method == http.MethodPost {
			s.taken[r.FormValue("To")]++
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"sid":"SM%032d","status":"queued"}`, len(s.taken))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *textService) to(number string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[number]
}

// fatedLog is a serve on a data directory whose log is exchanged while it is stopped. PostgreSQL is
// another one's, and stays.
type fatedLog struct {
	app
	cfg   *config.Config
	texts *textService
	stop  func()
}

func newFatedLog(t *testing.T) *fatedLog {
	t.Helper()
	f := &fatedLog{cfg: defaultConfig(t), texts: newTextService(t)}
	f.cfg.Data, f.cfg.Database.URL = t.TempDir(), devtest.Postgres(t)
	f.cfg.JWT.Secret, f.token = testSecret, mint(t, testSecret)
	sms := &f.cfg.Channels.SMS
	sms.URL, sms.Account, sms.Token, sms.From = f.texts.URL, "AC1", "secret", "+15550001111"
	f.start(t)
	t.Cleanup(func() { f.stop() })
	return f
}

// start runs the command serve, which starts again by itself when it must.
func (f *fatedLog) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	serve := &serveCommand{Config: *f.cfg}
	go func() { ended <- serve.Run(ctx, streams{out: io.Discard, err: t.Output()}) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	f.await(t)
}

// await waits until the program serves, wherever it does by now.
func (f *fatedLog) await(t *testing.T) telemetry.Report {
	t.Helper()
	var report telemetry.Report
	require.Eventually(t, func() bool {
		at, err := program.ReadAddress(f.cfg.Data)
		f.Address = at
		return err == nil && getOps(t.Context(), at.Ops, "/readyz", &report) == nil &&
			report.Status != "not ready"
	}, time.Minute, 50*time.Millisecond)
	return report
}

// exchange stops the program, changes its log, and starts it again.
func (f *fatedLog) exchange(t *testing.T, change func(log string)) {
	t.Helper()
	f.stop()
	change(filepath.Join(f.cfg.Data, "kafka"))
	f.start(t)
}

func (f *fatedLog) backup(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "kafka")
	f.exchange(t, func(log string) { require.NoError(t, os.CopyFS(dir, os.DirFS(log))) })
	return dir
}

func (f *fatedLog) restore(t *testing.T, backup string) {
	t.Helper()
	f.exchange(t, func(log string) {
		require.NoError(t, os.RemoveAll(log))
		require.NoError(t, os.CopyFS(log, os.DirFS(backup)))
	})
}

// requireRefused makes sure that a school's partition is refused by everybody.
func (f *fatedLog) requireRefused(t *testing.T, school, reason string) {
	t.Helper()
	var status logStatus
	require.Eventually(t, func() bool {
		code, out, _ := command(t, "log", "status", "--json", "--database-url", f.Database)
		return code == exitDone && json.Unmarshal([]byte(out), &status) == nil &&
			len(status.Refused) > 0
	}, time.Minute, 50*time.Millisecond)
	require.Equal(t, reason, status.Refused[0].Reason)
	body, err := json.Marshal(enrolled(school, 999))
	require.NoError(t, err)
	resp, b := f.call(t, http.MethodPost, f.HTTP+"/v1/schools/"+school+"/events", string(body),
		"Content-Type", "application/cloudevents+json")
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, "%s", b)
	require.Contains(t, string(b), "until an operator has decided")
	resp, b = f.call(t, http.MethodGet, f.HTTP+"/v1/schools/"+school+"/events", "")
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, "%s", b)
	resp, b = f.call(t, http.MethodGet, f.HTTP+"/v1/schools/"+school+"/stream", "")
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, "%s", b)
	require.Contains(t, f.await(t).Checks["log identity"], "until you decide")
	code, _, stderr := command(t, f.shadowArgs("rebuild")...)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "log status")
}

// accept decides, and waits until the program has started again because of it.
func (f *fatedLog) accept(t *testing.T) (out string) {
	t.Helper()
	before := f.Ops
	code, out, stderr := command(t,
		f.shadowArgs("log", "accept", "--yes", "--reason", "a test", "--by", "ada")...)
	require.Equal(t, exitDone, code, out+stderr)
	require.Eventually(t, func() bool {
		at, err := program.ReadAddress(f.cfg.Data)
		return err == nil && at.Ops != before
	}, time.Minute, 20*time.Millisecond, "it starts again by itself")
	require.Equal(t, "ok", f.await(t).Checks["log identity"])
	return out
}

func (f *fatedLog) requireTablesOfLog(t *testing.T, position string) {
	t.Helper()
	var got attendanceTotals
	f.get(t, "/v1/schools/oak/analytics/attendance?from=2026-09-01", position, &got)
	code, out, stderr := command(t, f.shadowArgs("verify")...)
	require.Equal(t, exitDone, code, out+stderr)
}

// absentFrom publishes a family whose child is absent, and returns the number that is texted.
func (f *fatedLog) absentFrom(t *testing.T, n int) (number, position string) {
	t.Helper()
	student, number := fmt.Sprint("st", n), fmt.Sprintf("+336399800%02d", n)
	events := family("oak", student)
	events[1]["data"].(map[string]any)["phone"] = number
	return number, f.publish(t, "oak", append(events, absent("oak", student))...)
}

func (f *fatedLog) requireText(t *testing.T, number string) {
	t.Helper()
	require.Eventually(t, func() bool { return f.texts.to(number) == 1 }, 30*time.Second,
		20*time.Millisecond, number)
}

// The log is put back behind the tables, and has grown past them before anybody looks.
func TestP3_ALogThatWasSetBackIsRefusedUntilAnOperatorDecides(t *testing.T) {
	t.Parallel()
	f := newFatedLog(t)
	first, _ := f.absentFrom(t, 1)
	f.requireText(t, first)
	backup := f.backup(t)
	lost, last := f.absentFrom(t, 2)
	f.requireText(t, lost)
	f.requireTablesOfLog(t, last)
	whole := f.backup(t)

	f.restore(t, backup)
	f.requireRefused(t, "oak", "cut")
	// It grows past the position without us, and does not heal.
	f.exchange(t, func(string) { f.growWithout(t, 20) })
	f.requireRefused(t, "oak", "cut")

	// The log as it was is put back: nothing is lost, and nothing rebuilt.
	f.restore(t, whole)
	f.requireRefused(t, "oak", "cut")
	require.Contains(t, f.accept(t), "continues where it stood")
	third, last := f.absentFrom(t, 3)
	f.requireText(t, third)
	f.requireTablesOfLog(t, last)

	// It has grown past the position before anybody looks.
	f.exchange(t, func(log string) {
		require.NoError(t, os.RemoveAll(log))
		require.NoError(t, os.CopyFS(log, os.DirFS(backup)))
		f.growWithout(t, 30)
	})
	f.requireRefused(t, "oak", "replaced")
	require.Contains(t, f.accept(t), "is accepted")
	fourth, last := f.absentFrom(t, 4)
	f.requireText(t, fourth)
	f.requireTablesOfLog(t, last)
	var got attendanceTotals
	f.get(t, "/v1/schools/oak/analytics/attendance?from=2026-09-01", last, &got)
	require.Equal(t, 30, got.Totals.Present, "the tables are those of the log as it is")
	for _, number := range []string{first, lost, third, fourth} {
		require.Equal(t, 1, f.texts.to(number), "%s is texted once", number)
	}
}

// growWithout appends marks to the log while nobody runs who could notice.
func (f *fatedLog) growWithout(t *testing.T, n int) {
	t.Helper()
	broker, err := devstack.StartKafka(devstack.KafkaConfig{Dir: f.cfg.Dir("kafka"), Sync: true})
	require.NoError(t, err)
	defer broker.Stop()
	log, err := kafka.Open(t.Context(), kafka.Config{
		Brokers: broker.Brokers(), Partitions: f.cfg.Kafka.Partitions,
	}, testLog(t), nil)
	require.NoError(t, err)
	defer log.Close()
	events := make([]map[string]any, n)
	for i := range events {
		events[i] = marked("oak", i, "present")
	}
	body, err := json.Marshal(events)
	require.NoError(t, err)
	parsed, err := cloudevents.Intake{School: "oak", Now: time.Now(), MaxEvents: n}.Parse(
		http.Header{"Content-Type": {"application/cloudevents-batch+json"}}, body)
	require.NoError(t, err)
	require.NoError(t,
		ingest.Writer{Log: log, Limit: time.Minute}.Append(t.Context(), "oak", parsed))
}

// planImport makes the plan of an import of one student, and returns its path.
func (f *fatedLog) planImport(t *testing.T, school string) string {
	t.Helper()
	resp, b := f.call(t, http.MethodPost, f.HTTP+"/v1/schools/"+school+"/imports",
		`{"source": "sis", "complete": ["student"]}
{"kind": "student", "data": {"student_id": "new", "given_name": "Ada", "family_name": "King", "class_id": "7a", "on": "2026-09-01"}}
`,
		"Content-Type", "application/x-ndjson")
	require.Equal(t, http.StatusCreated, resp.StatusCode, "%s", b)
	return resp.Header.Get("Location")
}

// A process is pointed at another log: the one that it had was deleted, or is on another cluster.
func TestP3_AnotherLogIsRefusedUntilAnOperatorDecides(t *testing.T) {
	t.Parallel()
	f := newFatedLog(t)
	first, last := f.absentFrom(t, 1)
	f.requireText(t, first)
	f.requireTablesOfLog(t, last)
	plan := f.planImport(t, "oak")
	f.exchange(t, func(log string) {
		require.NoError(t, os.RemoveAll(log))
		f.growWithout(t, 200)
	})
	f.requireRefused(t, "oak", "other")
	resp, b := f.call(t, http.MethodPost, f.HTTP+plan+"/apply", "{}",
		"Content-Type", "application/json")
	// The tables do not reach the end of a log that they refuse to read.
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, "%s", b)
	require.Contains(t, f.accept(t), "is accepted")
	second, last := f.absentFrom(t, 2)
	f.requireText(t, second)
	f.requireTablesOfLog(t, last)
	var got attendanceTotals
	f.get(t, "/v1/schools/oak/analytics/attendance?from=2026-09-01", last, &got)
	require.Equal(t, 200, got.Totals.Present)
	require.Equal(t, 1, f.texts.to(first), "what was planned is not planned again")
}
