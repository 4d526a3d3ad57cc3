package projections_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/memstore"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// The simulation runs whole engines against a Kafka broker on a network in memory, in simulated
// time. A seed decides all that happens: processes start, stop, crash and fall silent while others
// take over, producers repeat themselves, answers get lost, leaders move, the store fails before or
// after it has done its work, or does it long after. In the end, when everything works again, the
// tables must equal one plain fold of the log.
//
// Among the events are records that are none, batches that cannot be decoded, and ids that are used
// again for another event.
//
//	SCHOOLBELL_SIMULATION_SEEDS=20000 go test ./projections -run TestP3_Simulation
//	SCHOOLBELL_SIMULATION_SEED=1234 go test ./projections -run TestP3_Simulation -v

const (
	simulationPartitions = 2
	simulationWindow     = 40 // small, so that it also forgets
	simulationParked     = 2  // subjects of a school, so that schools are parked
)

func TestP3_Simulation(t *testing.T) {
	t.Parallel()
	if seed := os.Getenv("SCHOOLBELL_SIMULATION_SEED"); seed != "" {
		n, err := strconv.ParseUint(seed, 10, 64)
		require.NoError(t, err)
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		require.Empty(t, simulate(t, n, memstore.New(), log, nil))
		return
	}
	seeds := uint64(devtest.Size(t, "SCHOOLBELL_SIMULATION_SEEDS", 200, 5000))
	workers := uint64(runtime.GOMAXPROCS(0))
	for worker := range workers {
		t.Run(fmt.Sprint("worker ", worker), func(t *testing.T) {
			t.Parallel()
			for seed := worker; seed < seeds && !t.Failed(); seed += workers {
				if wrong := simulate(t, seed, memstore.New(),
					slog.New(slog.DiscardHandler), nil); wrong != "" {
					t.Errorf("SCHOOLBELL_SIMULATION_SEED=%d: %s", seed, wrong)
				}
			}
		})
	}
}

// Without the fence the simulation must find something wrong, else it proves nothing.
func TestP3_SimulationNoticesAMissingFence(t *testing.T) {
	t.Parallel()
	requireNoticed(t, memstore.NewUnfenced, nil)
}

// An engine that parks what nobody can use is noticed.
func TestP9_SimulationNoticesUnusableRecordsThatAreParked(t *testing.T) {
	t.Parallel()
	requireNoticed(t, memstore.New, func(cfg *projections.Config) {
		decode := cfg.Decode
		cfg.Decode = func(rec eventlog.Record) (*domain.Envelope, error) {
			e, err := decode(rec)
			if err != nil {
				err = errors.New(err.Error())
			}
			return e, err
		}
	})
}

// A reader that goes past an undecodable batch by one record too many is noticed.
func TestP9_SimulationNoticesAReaderThatSkipsTooMuch(t *testing.T) {
	t.Parallel()
	requireNoticed(t, memstore.New, func(cfg *projections.Config) { cfg.Log = hasty{cfg.Log} })
}

// An index of the log that leaves parked events out is noticed.
func TestP8_SimulationNoticesAnIndexWithoutParkedEvents(t *testing.T) {
	t.Parallel()
	requireNoticed(t, memstore.New, func(cfg *projections.Config) { cfg.Store = unaware{cfg.Store} })
}

// unaware is a store whose index lacks what is parked.
type unaware struct{ projections.Store }

func (f unaware) Commit(
	ctx context.Context, claim projections.Claim, c *projections.Commit,
) error {
	changed := *c
	changed.Blocks = nil
	for _, b := range c.Blocks {
		left := eventlog.Block{School: b.School}
		for _, offset := range b.Offsets(nil, 0) {
			if !slices.ContainsFunc(c.Parking.Events, func(e projections.ParkedEvent) bool {
				return e.Record.Position.Offset == offset
			}) {
				left.Add(offset)
			}
		}
		if left.Len > 0 {
			changed.Blocks = append(changed.Blocks, left)
		}
	}
	return f.Store.Commit(ctx, claim, &changed)
}

// hasty is a log whose undecodable batches seem to be longer than they are.
type hasty struct{ projections.Log }

func (h hasty) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (eventlog.Batch, error) {
	batch, err := h.Log.Fetch(ctx, partition, offset, maxBytes, maxWait)
	if undecodable, ok := errors.AsType[*eventlog.UndecodableError](err); ok {
		return batch, &eventlog.UndecodableError{
			First: undecodable.First, Last: undecodable.Last + 1, Err: undecodable.Err,
		}
	}
	return batch, err
}

// requireNoticed says that some seed finds a planted bug.
func requireNoticed(t *testing.T, store func() *memstore.Store, bug func(*projections.Config)) {
	t.Helper()
	for seed := range uint64(500) {
		if wrong := simulate(t, seed, store(), slog.New(slog.DiscardHandler), bug); wrong != "" {
			t.Logf("found with seed %d", seed)
			return
		}
	}
	t.Error("500 seeds did not notice the planted bug")
}

// simulate plays one seed and says what is wrong in the end.
func simulate(
	t *testing.T, seed uint64, store *memstore.Store, log *slog.Logger,
	bug func(*projections.Config),
) (wrong string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := &kfake.VirtualNetwork{}
		cluster, err := kfake.NewCluster(kfake.Ports(9092, 9093), kfake.ListenFn(network.Listen))
		require.NoError(t, err)
		defer cluster.Close()
		s := &simulation{
			T: t, seed: seed, cluster: cluster, network: network, store: store,
			set: storetest.Set(false), logger: log, bug: bug,
		}
		s.dice = newDice(seed, "script", &s.calm)
		s.producer = s.openLog(&cable{network: network})
		s.play()
		wrong = s.check()
		require.NoError(t, s.producer.Close())
	})
	return wrong
}

type simulation struct {
	*testing.T
	*dice
	seed      uint64
	calm      atomic.Bool
	cluster   *kfake.Cluster
	network   *kfake.VirtualNetwork
	store     *memstore.Store
	set       *projections.Set
	logger    *slog.Logger
	producer  *kafka.Log
	processes []*process // that run
	ended     sync.WaitGroup
	group     string // tells groups apart
	events    int
	started   int
	skips     int
	bug       func(*projections.Config) // planted
}

// dice is randomness that belongs to one purpose, so that the order in which goroutines run changes
// as little as can be.
type dice struct {
	mu   sync.Mutex
	r    *rand.Rand
	calm *atomic.Bool // no more faults
}

func newDice(seed uint64, purpose string, calm *atomic.Bool) *dice {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose)) // never fails
	return &dice{r: rand.New(rand.NewPCG(seed, h.Sum64())), calm: calm}
}

func (d *dice) roll(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

// problem says yes once in n times, until it is calm.
func (d *dice) problem(n int) bool { return d.roll(n) == 0 && !d.calm.Load() }

func (d *dice) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.roll(int(most-least)))
}

func (s *simulation) openLog(c *cable) *kafka.Log {
	log, err := kafka.Open(s.Context(), kafka.Config{
		Brokers: s.cluster.ListenAddrs(), Partitions: simulationPartitions, Dial: c.dial,
	}, slog.New(slog.DiscardHandler), nil)
	require.NoError(s, err)
	return log
}

// play makes things happen.
func (s *simulation) play() {
	s.start()
	for range 12 + s.roll(12) {
		switch s.roll(15) {
		case 13, 14:
			s.skip()
		case 12:
			s.produceUndecodable()
		case 0, 1, 2, 3, 4:
			s.produce()
		case 5:
			s.start()
		case 6:
			if p := s.some(); p != nil {
				s.stop(p)
			}
		case 7:
			if p := s.some(); p != nil {
				s.crash(p)
			}
		case 8:
			if p := s.some(); p != nil {
				s.silence(p)
			}
		case 9:
			require.NoError(s, s.cluster.MoveTopicPartition("schoolbell.events",
				int32(s.roll(simulationPartitions)), int32(s.roll(2))))
		case 10:
			s.cluster.RehashCoordinators()
		case 11:
			s.cluster.Fault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.Fetch},
				Err:  kerr.NotLeaderForPartition, Count: 1 + s.roll(5),
			})
		}
		if s.roll(3) == 0 {
			<-time.After(s.between(time.Millisecond, 15*time.Second))
		}
	}
}

// produce appends a few events, some of them more than once. The answer may get lost although the
// records are written.
func (s *simulation) produce() {
	school := fmt.Sprint("school-", s.roll(4))
	var recent []eventlog.Record
	for range 1 + s.roll(8) {
		s.events++
		n := s.events
		if s.roll(8) == 0 { // an id that may have been used already
			n = max(1, n-s.roll(12))
		}
		rec := storetest.Record(storetest.Event(school, n, s.fact()))
		if s.roll(8) == 0 {
			s.spoil(&rec)
		}
		recent = append(recent, rec)
		if s.roll(4) == 0 {
			recent = append(recent, recent[s.roll(len(recent))])
		}
	}
	if s.problem(4) {
		s.cluster.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut,
			Count: 1 + s.roll(3),
		})
	}
	s.append(school, recent)
}

// skip gives up the first event of something that is parked, as an operator may.
func (s *simulation) skip() {
	n := int32(s.roll(simulationPartitions))
	parked, err := s.store.Parked(s.Context(), n)
	require.NoError(s, err)
	if len(parked) == 0 {
		return
	}
	key := parked[s.roll(len(parked))].SubjectKey
	offset, ok := s.store.RequestSkip(n, key)
	if !ok {
		return
	}
	s.skips++
	s.events++
	s.append(key.School, []eventlog.Record{storetest.Record(storetest.Event(key.School, s.events,
		storetest.Skip(domain.Position{Partition: n, Offset: offset})))})
}

func (s *simulation) append(school string, records []eventlog.Record) {
	for {
		_, err := s.producer.Append(s.Context(), school, records)
		if err == nil {
			return
		}
		require.ErrorIs(s, err, eventlog.ErrUnavailable)
	}
}

// spoil makes a record one that nobody can use, or only a newer program.
func (s *simulation) spoil(rec *eventlog.Record) {
	setType := func(eventType string) {
		for i := range rec.Headers {
			if rec.Headers[i].Key == eventlog.HeaderType {
				rec.Headers[i].Value = []byte(eventType)
			}
		}
	}
	switch s.roll(5) {
	case 0:
		rec.Value = nil
	case 1:
		rec.Headers = nil
	case 2:
		setType("com.example.marked.v1")
	case 3:
		rec.Value = []byte(`{"student_id":`)
	case 4:
		setType(attendance.TypeMarked + "9")
	}
}

// produceUndecodable appends a batch that says it is gzip and is not, which Kafka takes.
func (s *simulation) produceUndecodable() {
	partition, count := int32(s.roll(simulationPartitions)), 1+s.roll(3)
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: 1, LastOffsetDelta: int32(count - 1),
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(count), Records: []byte("no records"),
	}
	batch.Length = int32(len(batch.AppendTo(nil)) - 12)
	batch.CRC = int32(crc32.Checksum(batch.AppendTo(nil)[21:], crc32.MakeTable(crc32.Castagnoli)))
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	req.Topics = []kmsg.ProduceRequestTopic{{
		Topic:   "schoolbell.events",
		TopicID: s.cluster.TopicInfo("schoolbell.events").TopicID,
		Partitions: []kmsg.ProduceRequestTopicPartition{
			{Partition: partition, Records: batch.AppendTo(nil)},
		},
	}}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.cluster.ListenAddrs()...),
		kgo.Dialer(s.network.DialContext))
	require.NoError(s, err)
	defer client.Close()
	for {
		leader := client.Broker(int(s.cluster.LeaderFor("schoolbell.events", partition)))
		resp, err := req.RequestWith(s.Context(), leader)
		require.NoError(s, err)
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
		if err == nil {
			return
		}
		require.True(s, kerr.IsRetriable(err), "%v", err) // one of the faults
	}
}

func (s *simulation) fact() domain.Event {
	pupil := fmt.Sprint("pupil-", s.roll(5))
	switch s.roll(10) {
	case 0:
		return storetest.Enrol(pupil, fmt.Sprint("class-", s.roll(3)))
	case 1:
		return storetest.Withdraw(pupil)
	case 2:
		return storetest.Mark(pupil, s.roll(4), attendance.Late,
			[]string{"", storetest.ReasonFail, storetest.ReasonPanic}[s.roll(3)])
	default:
		return storetest.Mark(pupil, s.roll(4),
			[]string{attendance.Present, attendance.AbsentExcused}[s.roll(2)], "")
	}
}

// check waits until all is folded, and compares.
func (s *simulation) check() string {
	s.calm.Store(true)
	for _, p := range s.processes {
		p.cable.repair()
	}
	if s.seed%2 == 0 { // a new build, whose folds take all that is not skipped
		for len(s.processes) > 0 {
			s.stop(s.processes[0])
		}
		s.set = storetest.Set(true)
	}
	s.start()
	for minute := 0; minute < 10 && !s.caughtUp(); minute++ {
		<-time.After(time.Minute)
		// kfake can lose the timers of a group whose coordinator moved: members that are gone then
		// stay in it for ever, which Kafka's timeouts do not allow. A group of another name has
		// none of that, and as positions are not the group's, nothing is forgiven by it.
		for len(s.processes) > 0 {
			s.stop(s.processes[0])
		}
		s.group = fmt.Sprint("-", minute)
		s.start()
	}
	<-time.After(time.Minute) // for commits that arrive late
	for len(s.processes) > 0 {
		s.stop(s.processes[0])
	}
	s.ended.Wait()
	return s.difference()
}

func (s *simulation) caughtUp() bool {
	for n := range int32(simulationPartitions) {
		if _, end, err := s.producer.Bounds(s.Context(), n); err != nil ||
			s.store.Position(n) != end {
			return false
		}
	}
	return true
}

func (s *simulation) difference() string {
	reference := projections.NewReference(s.set, cloudevents.Decode, simulationPartitions,
		simulationWindow)
	reference.LimitParked(simulationParked)
	for n := range int32(simulationPartitions) {
		s.read(n, reference.Skip, func(domain.Position) {})
	}
	var wrong []string
	for n := range int32(simulationPartitions) {
		_, end, err := s.producer.Bounds(s.Context(), n)
		require.NoError(s, err)
		if at := s.store.Position(n); at != end {
			wrong = append(wrong,
				fmt.Sprintf("partition %d stands at %d and ends at %d", n, at, end))
		}
		s.read(n, reference.Add, func(at domain.Position) { reference.PassOver(at) })
	}
	want, err := reference.Dump()
	require.NoError(s, err)
	got, err := s.store.Dump()
	require.NoError(s, err)
	if s.skips > 0 || s.seed%2 == 0 {
		// It knows in which order the events of different subjects were folded.
		delete(want, "test_kinds")
		delete(got, "test_kinds")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		wrong = append(wrong, "tables differ (-want +got):\n"+diff)
	}
	if diff := cmp.Diff(reference.Index(), s.store.Index()); diff != "" {
		wrong = append(wrong, "indexes of the log differ (-want +got):\n"+diff)
	}
	for n := range int32(simulationPartitions) {
		if diff := cmp.Diff(reference.Unusable(n), s.store.Unusable(n)); diff != "" {
			wrong = append(wrong, "unusable records differ (-want +got):\n"+diff)
		}
		wantParked := reference.Parked(n)
		subjects, err := s.store.Parked(s.Context(), n)
		require.NoError(s, err)
		gotParked := map[projections.SubjectKey][]int64{}
		for _, u := range subjects {
			events, err := s.store.ParkedEvents(s.Context(), n, u.SubjectKey, 1<<30)
			require.NoError(s, err)
			for _, rec := range events {
				gotParked[u.SubjectKey] = append(gotParked[u.SubjectKey], rec.Position.Offset)
			}
		}
		if diff := cmp.Diff(wantParked, gotParked); diff != "" {
			wrong = append(wrong, "parked events differ (-want +got):\n"+diff)
		}
	}
	return strings.Join(wrong, "\n")
}

// read calls each with the records of a partition, and undecodable with the positions of batches that
// cannot be decoded.
func (s *simulation) read(
	n int32, each func(eventlog.Record), undecodable func(domain.Position),
) {
	_, end, err := s.producer.Bounds(s.Context(), n)
	require.NoError(s, err)
	for next := int64(0); next < end; {
		b, err := s.producer.Fetch(s.Context(), n, next, 1<<20, 100*time.Millisecond)
		if batch, ok := errors.AsType[*eventlog.UndecodableError](err); ok {
			undecodable(domain.Position{Partition: n, Offset: next})
			next = batch.Last + 1
			continue
		}
		require.NoError(s, err)
		for _, rec := range b.Records {
			each(rec)
		}
		next = b.Next
	}
}

// forgetful is a store with a fault that the simulation must notice.
type forgetful struct {
	projections.Store
	skips, schools bool // what it forgets
}

func (f forgetful) Commit(
	ctx context.Context, claim projections.Claim, c *projections.Commit,
) error {
	lossy := *c
	if f.skips {
		lossy.Parking.Skipped = nil
	}
	return f.Store.Commit(ctx, claim, &lossy)
}

func (f forgetful) Parked(ctx context.Context, n int32) ([]projections.ParkedSubject, error) {
	parked, err := f.Store.Parked(ctx, n)
	if f.schools {
		parked = slices.DeleteFunc(parked, func(p projections.ParkedSubject) bool {
			return p.Subject == projections.WholeSchool
		})
	}
	return parked, err
}

// A skip that is not stored, and a school that a new lease does not know to be parked, must both be
// found.
func TestP3_SimulationNoticesForgottenSkipsAndSchools(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]forgetful{
		"skips": {skips: true}, "schools": {schools: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireNoticed(t, memstore.New, func(cfg *projections.Config) {
				lossy := fault
				lossy.Store = cfg.Store
				cfg.Store = lossy
			})
		})
	}
}
