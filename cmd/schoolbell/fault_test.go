package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/devstack/realkafka"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
)

const (
	faultProcesses  = 3
	faultPartitions = 6
	faultLoad       = 25                        // seconds over which the events come in, at least …
	faultRate       = 10_000                    // … and events a second at most
	faultEventsEnv  = "SCHOOLBELL_FAULT_EVENTS" // how many events
	faultSeedEnv    = "SCHOOLBELL_FAULT_SEED"
)

func faultSeed(t *testing.T) int {
	seed := int(time.Now().UnixNano() % 1e6)
	return devtest.Size(t, faultSeedEnv, seed, seed)
}

// TestP3_ProcessesAreKilledAndPaused runs three serve processes on a real Kafka and a PostgreSQL.
// While events come in they are killed with -9, or paused for longer than their session lasts and
// woken up as zombies. Then every table must equal one plain fold of the log.
func TestP3_ProcessesAreKilledAndPaused(t *testing.T) {
	devtest.Real(t, "java")
	events, seed := devtest.Size(t, faultEventsEnv, 20_000, 500_000), faultSeed(t)
	broker := realkafka.Start(t)
	f := &faultStack{
		random:   rand.New(rand.NewPCG(uint64(seed), 0)),
		brokers:  broker.Addresses()[0],
		database: devtest.Postgres(t),
		redis:    devtest.Redis(t).URL(),
	}
	for i := range faultProcesses {
		f.processes = append(
			f.processes, &faultProcess{dir: filepath.Join(t.TempDir(), strconv.Itoa(i))},
		)
		f.start(t, i)
	}

	published := make(chan error, 1)
	go func() { published <- f.publish(t.Context(), events) }()
	kills, pauses := 0, 0
	for done := false; !done; {
		select {
		case err := <-published:
			require.NoError(t, err)
			done = true
		case <-time.After(time.Duration(500+f.random.IntN(1500)) * time.Millisecond):
			if f.random.IntN(3) > 0 {
				f.kill(t, f.random.IntN(faultProcesses))
				kills++
			} else {
				f.pause(t, f.random.IntN(faultProcesses))
				pauses++
			}
		}
	}
	for kills < 3 { // also when publishing was quick
		f.kill(t, f.random.IntN(faultProcesses))
		kills++
	}
	f.zombies.Wait()
	t.Logf("%d kills and %d pauses", kills, pauses)
	f.requireTablesEqualTheLog(t, events)
}

// faultStack is the processes and what they share.
type faultStack struct {
	random                   *rand.Rand
	brokers, database, redis string
	zombies                  sync.WaitGroup

	mu        sync.Mutex // over what the processes are
	processes []*faultProcess
}

type faultProcess struct {
	dir    string
	cmd    *exec.Cmd
	paused bool
	api    *client.Client // nil while it cannot be reached
}

// start runs a process, again if it was killed.
func (f *faultStack) start(t *testing.T, i int) {
	t.Helper()
	p := f.processes[i]
	cmd := programCommand(
		"serve", "--data", p.dir, "--http=127.0.0.1:0", "--ops=127.0.0.1:0", "--log-level=error",
		"--kafka-brokers="+f.brokers, "--kafka-partitions="+strconv.Itoa(faultPartitions),
		"--database-url="+f.database, "--redis-url="+f.redis, "--jwt-secret="+testSecret,
	)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var at program.Address
	require.Eventually(t, func() bool {
		var err error
		at, err = program.ReadAddress(p.dir)
		return err == nil && at.PID == cmd.Process.Pid
	}, time.Minute, 10*time.Millisecond, "process %d has not started", i)
	api, err := client.New(
		client.Config{
			URL:            at.HTTP,
			Token:          mint(t, testSecret),
			RetryTimeout:   time.Second,
			ConnectTimeout: time.Second,
		},
	)
	require.NoError(t, err)
	t.Cleanup(api.Close)
	f.mu.Lock()
	defer f.mu.Unlock()
	p.cmd, p.api = cmd, api
}

func (f *faultStack) kill(t *testing.T, i int) {
	t.Helper()
	f.mu.Lock()
	p := f.processes[i]
	if p.paused {
		f.mu.Unlock()
		return
	}
	p.api = nil
	f.mu.Unlock()
	require.NoError(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()
	f.start(t, i)
}

// pause makes a process a zombie: it wakes up after others have taken its partitions over.
func (f *faultStack) pause(t *testing.T, i int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.processes[i]
	awake := 0
	for _, other := range f.processes {
		if !other.paused {
			awake++
		}
	}
	if p.paused || awake == 1 {
		return
	}
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP))
	p.paused = true
	api := p.api
	p.api = nil
	f.zombies.Go(func() {
		<-time.After(8 * time.Second) // the session lasts 6
		f.mu.Lock()
		defer f.mu.Unlock()
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		p.paused, p.api = false, api
	})
}

// publish sends simulated events through whichever process takes them, school by school at the
// same time. A request whose response is lost is sent again to another process, so that the log
// holds duplicates.
func (f *faultStack) publish(ctx context.Context, events int) error {
	const schools = 8
	pace := rate.NewLimiter(min(rate.Limit(events)/faultLoad, faultRate), 25*schools)
	// A student has about 270 events in a year.
	year := simulate.Config{
		Schools:  schools,
		Students: max(20, events/schools/200),
		Days:     simulate.MaxDays,
		Seed:     1,
	}
	var faults [schools]error
	var wg sync.WaitGroup
	for i := range schools {
		wg.Go(func() {
			var batch []*domain.Envelope
			sent := 0
			for e := range year.School(i).Events() {
				if batch = append(batch, e); len(batch) == 25 {
					_ = pace.WaitN(ctx, len(batch)) // when ctx ends, so does sending
					if faults[i] = f.send(ctx, e.School, batch); faults[i] != nil {
						return
					}
					batch = batch[:0]
				}
				if sent++; sent == events/schools {
					break
				}
			}
			if len(batch) > 0 {
				faults[i] = f.send(ctx, batch[0].School, batch)
			}
		})
	}
	wg.Wait()
	for _, err := range faults {
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *faultStack) send(ctx context.Context, school string, batch []*domain.Envelope) error {
	for i := 0; ctx.Err() == nil; i++ {
		f.mu.Lock()
		api := f.processes[i%faultProcesses].api
		f.mu.Unlock()
		if api == nil {
			<-time.After(5 * time.Millisecond)
			continue
		}
		limited, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := api.Publish(limited, school, batch)
		cancel()
		if err == nil {
			return nil
		}
		if !client.Retryable(err) && limited.Err() == nil && i > 1000 {
			return fmt.Errorf("publish events of %s: %w", school, err)
		}
	}
	return ctx.Err()
}

// requireTablesEqualTheLog waits until the tables have caught up and compares them with a fold of
// the log.
func (f *faultStack) requireTablesEqualTheLog(t *testing.T, events int) {
	t.Helper()
	ctx := t.Context()
	log, err := kafka.Open(ctx, kafka.Config{Brokers: []string{f.brokers}}, testLog(t), nil)
	require.NoError(t, err)
	defer log.Close()
	set, err := projections.NewSet(catalog.All()...)
	require.NoError(t, err)
	pool, err := postgres.NewPool(ctx, postgres.Config{URL: f.database, Role: postgres.Projector})
	require.NoError(t, err)
	defer pool.Close()
	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()

	reference := projections.NewReference(
		set, cloudevents.Decode, faultPartitions, eventlog.DefaultWindow,
	)
	records := 0
	for p := range int32(faultPartitions) {
		_, end, err := log.Bounds(ctx, p)
		require.NoError(t, err)
		if end == 0 {
			continue
		}
		require.Eventually(t, func() bool {
			at, err := checkpoint.Position(ctx, conn, program.SetName, p)
			return err == nil && at.Offset == end-1
		}, 2*time.Minute, 100*time.Millisecond, "partition %d has not caught up", p)
		for next := int64(0); next < end; {
			batch, err := log.Fetch(ctx, p, next, 8<<20, time.Second)
			require.NoError(t, err)
			for _, r := range batch.Records {
				reference.Add(r)
			}
			records += len(batch.Records)
			next = batch.Next
		}
	}
	t.Logf("%d records, %d of them duplicates", records, reference.Duplicates())
	require.GreaterOrEqual(
		t, records-reference.Duplicates(), events/8*8, "every event is in the log",
	)
	want, err := reference.Dump()
	require.NoError(t, err)
	got, err := postgres.NewProjectionStore(pool, set, program.SetName).Dump(ctx)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(want, got))
}
