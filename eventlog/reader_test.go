package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
)

// script is a log of one partition that a test writes record by record, gaps included.
type script struct {
	mu      sync.Mutex
	records []eventlog.Record
	start   int64
	end     int64
	limit   int // records in a fetch at most
	failing error
	fetched int // records, over all fetches

	undecodable []eventlog.UndecodableError // batches, in order
}

func (s *script) Topic(context.Context) (eventlog.Topic, error) {
	return eventlog.Topic{Name: "t", ID: "1", Partitions: 1}, nil
}

func (s *script) Bounds(context.Context, int32) (start, end int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.start, s.end, s.failing
}

func (s *script) Fetch(
	ctx context.Context, _ int32, offset int64, _ int, wait time.Duration,
) (eventlog.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failing != nil:
		return eventlog.Batch{}, s.failing
	case offset < s.start || offset > s.end:
		return eventlog.Batch{}, eventlog.ErrOffsetOutOfRange
	case offset == s.end:
		s.mu.Unlock()
		defer s.mu.Lock()
		select {
		case <-ctx.Done():
			return eventlog.Batch{}, ctx.Err()
		case <-time.After(wait):
		}
		return eventlog.Batch{Next: offset, HighWatermark: offset}, nil
	}
	b := eventlog.Batch{Next: s.end, HighWatermark: s.end, LogStart: s.start}
	if bad := s.undecodableFrom(offset); bad != nil {
		if bad.First <= offset {
			return eventlog.Batch{}, &eventlog.UndecodableError{
				First: offset, Last: bad.Last, Err: bad.Err,
			}
		}
		b.Next = bad.First
	}
	for _, r := range s.records[s.from(offset):s.from(b.Next)] {
		if len(b.Records) == s.limit {
			b.Next = r.Position.Offset
			break
		}
		b.Records = append(b.Records, r)
	}
	s.fetched += len(b.Records)
	return b, nil
}

// appendUndecodable adds a batch of n records that cannot be decoded.
func (s *script) appendUndecodable(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undecodable = append(s.undecodable,
		eventlog.UndecodableError{First: s.end, Last: s.end + n - 1, Err: errors.New("too large")})
	s.end += n
}

// undecodableFrom is the first batch that cannot be decoded and does not end before an offset.
func (s *script) undecodableFrom(offset int64) *eventlog.UndecodableError {
	for i := range s.undecodable {
		if s.undecodable[i].Last >= offset {
			return &s.undecodable[i]
		}
	}
	return nil
}

func (s *script) append(id string, gap int64) { s.appendContent(id, id, gap) }

// appendContent adds a record that decodes as an event unless its content begins with "!".
func (s *script) appendContent(id, content string, gap int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end += gap
	s.records = append(s.records, eventlog.Record{
		Position: domain.Position{Offset: s.end}, Key: []byte("s"), Value: []byte(content),
		Headers: []eventlog.Header{
			{
				Key: eventlog.HeaderID, Value: []byte(id),
			}, {Key: eventlog.HeaderSource, Value: []byte("src")},
		},
	})
	s.end++
}

// from is the index of the first record at an offset or after it.
func (s *script) from(offset int64) int {
	return sort.Search(len(s.records),
		func(i int) bool { return s.records[i].Position.Offset >= offset })
}

// verdicts decides about all records by the definition: an event is a duplicate if there is an event
// of its id within the window before it, and contradicts the latest if that has another content.
func (s *script) verdicts(window int) []string {
	last := map[string]*eventlog.Record{} // events, by id
	all := make([]string, len(s.records))
	for i := range s.records {
		rec := &s.records[i]
		all[i] = fmt.Sprint(rec.Position.Offset)
		if rec.Value[0] == '!' {
			continue
		}
		id := rec.Header(eventlog.HeaderID)
		was := last[id]
		if was != nil && was.Position.Offset >= rec.Position.Offset-int64(window) {
			all[i] += " duplicate"
			if string(was.Value) != string(rec.Value) {
				all[i] += fmt.Sprint(", contradicts ", was.Position.Offset)
			}
		}
		last[id] = rec
	}
	return all
}

func verdict(e *eventlog.Entry) string {
	switch {
	case e.Conflict != nil:
		return fmt.Sprint(e.Offset(), " duplicate, contradicts ", e.Conflict.Earlier.Offset)
	case e.Duplicate:
		return fmt.Sprint(e.Offset(), " duplicate")
	}
	return fmt.Sprint(e.Offset())
}

func decode(r eventlog.Record) (*domain.Envelope, error) {
	if len(r.Value) > 0 && r.Value[0] == '!' {
		return &domain.Envelope{}, &eventlog.UnusableError{Err: errors.New("no event")}
	}
	return &domain.Envelope{School: string(r.Key), ID: string(r.Value)}, nil
}

// Wherever cursors open, whatever order they read in and however far they lie apart, each gets
// every record once, in order, and with the verdict that the definition of a duplicate gives.
func TestP3_CursorsAgreeWithTheLog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.IntRange(1, 80).Draw(t, "window")
		log := &script{limit: rapid.IntRange(1, 60).Draw(t, "batch")}
		reader := eventlog.NewReader(eventlog.ReaderConfig{
			Source: log, Decode: decode, Window: window, Cache: rapid.IntRange(1, 30_000).Draw(t, "cache"),
		})
		keys := rapid.IntRange(1, 2*window).Draw(t, "keys")
		grow := func(n int) {
			for range n {
				if rapid.IntRange(0, 60).Draw(t, "undecodable") == 0 {
					log.appendUndecodable(rapid.Int64Range(1, 30).Draw(t, "batch"))
				}
				gap := max(0, rapid.Int64Range(-40, 5).Draw(t, "gap"))
				id := strconv.Itoa(rapid.IntRange(0, keys).Draw(t, "key"))
				content := rapid.SampledFrom([]string{"a", "a", "a", "b", "!a", "!b"}).Draw(t, "content")
				log.appendContent(id, content, gap)
			}
		}
		type reading struct {
			*eventlog.Cursor
			next int64
		}
		var open []*reading
		grow(rapid.IntRange(1, 400).Draw(t, "records"))
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				grow(rapid.IntRange(1, 200).Draw(t, "records"))
			case 1, 2:
				at := rapid.Int64Range(0, log.end).Draw(t, "offset")
				open = append(open, &reading{reader.Open(0, at), at})
			case 3:
				if len(open) > 0 {
					i := rapid.IntRange(0, len(open)-1).Draw(t, "close")
					open[i].Close()
					open = slices.Delete(open, i, i+1)
				}
			default:
				if len(open) == 0 {
					continue
				}
				r := open[rapid.IntRange(0, len(open)-1).Draw(t, "cursor")]
				if r.next == log.end {
					continue
				}
				s, err := r.Next(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				want := log.verdicts(window)[log.from(r.next):log.from(s.Next)]
				for i := range s.Entries {
					e := &s.Entries[i]
					if e.Last() == e.Offset() && e.Record.Value != nil {
						got = append(got, verdict(e))
						continue
					}
					// The batch must be whole from the cursor on, and the only entry.
					bad := log.undecodableFrom(r.next)
					_, err := e.Event()
					if len(s.Entries) > 1 || e.Offset() != max(r.next, bad.First) ||
						e.Last() != bad.Last || s.Next != bad.Last+1 || !eventlog.IsUnusable(err) {
						t.Fatalf("at %d, next %d: entry %d to %d for the batch %d to %d: %v",
							r.next, s.Next, e.Offset(), e.Last(), bad.First, bad.Last, err)
					}
				}
				if !slices.Equal(want, got) || s.Next <= r.next {
					t.Fatalf("from %d to %d: got %v, want %v", r.next, s.Next, got, want)
				}
				r.next = s.Next
			}
		}
	})
}

func newScript(records, limit int) *script {
	log := &script{limit: limit}
	for i := range records {
		log.append(strconv.Itoa(i), 0)
	}
	return log
}

// drain reads to an offset and returns the entries.
func drain(t *testing.T, c *eventlog.Cursor, to int64) (all []*eventlog.Entry) {
	t.Helper()
	for {
		s, err := c.Next(t.Context())
		require.NoError(t, err)
		for i := range s.Entries {
			all = append(all, &s.Entries[i])
		}
		if s.Next >= to {
			return all
		}
	}
}

func TestCursorsThatAreCloseShareEverything(t *testing.T) {
	t.Parallel()
	log := newScript(10_000, 100)
	decoded := 0
	reader := eventlog.NewReader(
		eventlog.ReaderConfig{
			Source: log,
			Window: 1000,
			Decode: func(r eventlog.Record) (*domain.Envelope, error) {
				decoded++
				return decode(r)
			},
		},
	)
	a, b, c := reader.Open(0, 9900), reader.Open(0, 9700), reader.Open(0, 9800)
	for _, cursor := range []*eventlog.Cursor{a, b, c} {
		defer cursor.Close()
		for _, e := range drain(t, cursor, log.end) {
			event, err := e.Event()
			require.NoError(t, err)
			require.Equal(t, e.Record.Position, event.Position)
		}
	}
	require.Equal(t, 300, decoded, "each record once")
	require.Less(t, log.fetched, 1700, "one window and a quarter are read back, once for all")
}

func TestACursorThatStandsStillHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	log := newScript(50_000, 100)
	reader := eventlog.NewReader(
		eventlog.ReaderConfig{Source: log, Decode: decode, Window: 2000, Cache: 50_000},
	)
	slow, fast := reader.Open(0, 0), reader.Open(0, 0)
	defer slow.Close()
	defer fast.Close()
	first := drain(t, slow, 1)
	require.Len(t, drain(t, fast, log.end), 50_000)
	require.Len(t, append(first, drain(t, slow, log.end)...), 50_000, "it missed nothing")
}

func TestAReopenedCursorReadsNothingBack(t *testing.T) {
	t.Parallel()
	log := newScript(5000, 100)
	reader := eventlog.NewReader(eventlog.ReaderConfig{Source: log, Decode: decode, Window: 1000})
	c := reader.Open(0, 4000)
	drain(t, c, log.end)
	c.Close()
	c.Close()
	before := log.fetched
	c = reader.Open(0, 4900)
	defer c.Close()
	require.Len(t, drain(t, c, log.end), 100)
	require.Equal(t, before+100, log.fetched)
}

func TestANewRecordWakesEveryCursorAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := memlog.New(1)
		_, err := log.Append(t.Context(), "s", []eventlog.Record{{Value: []byte("0")}})
		require.NoError(t, err)
		reader := eventlog.NewReader(eventlog.ReaderConfig{Source: log, Decode: decode, Window: 10})
		began := time.Now()
		var cursors sync.WaitGroup
		for range 5 {
			cursors.Go(func() {
				c := reader.Open(0, 1)
				defer c.Close()
				s, err := c.Next(t.Context())
				require.NoError(t, err)
				require.Equal(t, "1", string(s.Entries[0].Record.Value))
				require.Equal(t, 1200*time.Millisecond, time.Since(began))
			})
		}
		<-time.After(1200 * time.Millisecond)
		_, err = log.Append(t.Context(), "s", []eventlog.Record{{Value: []byte("1")}})
		require.NoError(t, err)
		cursors.Wait()
	})
}

func TestTheCursorThatFetchesMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := memlog.New(1)
		reader := eventlog.NewReader(eventlog.ReaderConfig{Source: log, Decode: decode, Window: 10})
		a, b := reader.Open(0, 0), reader.Open(0, 0)
		defer a.Close()
		defer b.Close()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { _, err := a.Next(ctx); left <- err }()
		synctest.Wait()
		got := make(chan eventlog.Stretch)
		go func() { s, _ := b.Next(t.Context()); got <- s }()
		synctest.Wait()
		leave()
		require.ErrorIs(t, <-left, context.Canceled)
		_, err := log.Append(t.Context(), "s", []eventlog.Record{{Value: []byte("0")}})
		require.NoError(t, err)
		require.Len(t, (<-got).Entries, 1)
	})
}

func TestAnUnreachableLogIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newScript(10, 100)
		log.failing = errors.New("away")
		reader := eventlog.NewReader(eventlog.ReaderConfig{Source: log, Decode: decode, Window: 10})
		c := reader.Open(0, 3)
		defer c.Close()
		time.AfterFunc(time.Minute, func() {
			require.EqualError(t, c.Fault(), "away")
			log.mu.Lock()
			defer log.mu.Unlock()
			log.failing = nil
		})
		s, err := c.Next(t.Context())
		require.NoError(t, err)
		require.Len(t, s.Entries, 7)
		require.NoError(t, c.Fault())
	})
}

func TestOffsetsOutsideTheLogAreErrors(t *testing.T) {
	t.Parallel()
	log := newScript(1000, 10)
	reader := eventlog.NewReader(eventlog.ReaderConfig{Source: log, Decode: decode, Window: 100})
	beyond, before, good := reader.Open(0, 1001), reader.Open(0, 100), reader.Open(0, 600)
	defer beyond.Close()
	defer before.Close()
	defer good.Close()
	_, err := beyond.Next(t.Context())
	require.ErrorIs(t, err, eventlog.ErrOffsetOutOfRange)
	read := len(drain(t, good, 700))
	log.start = 500
	_, err = before.Next(t.Context())
	require.ErrorIs(t, err, eventlog.ErrOffsetOutOfRange)
	require.Equal(t, 400, read+len(drain(t, good, log.end)), "others go on")
}

// A record that cannot be decoded, or lies in another partition than its school's, is handed on
// with the reason.
func TestAnEntryThatMustNotBeAppliedSaysWhy(t *testing.T) {
	t.Parallel()
	log := newScript(3, 10)
	reader := eventlog.NewReader(
		eventlog.ReaderConfig{
			Source: log,
			Window: 10,
			Decode: func(r eventlog.Record) (*domain.Envelope, error) {
				switch string(r.Value) {
				case "0":
					panic("no")
				case "1":
					return &domain.Envelope{ID: "1"}, errors.New("unreadable")
				}
				return decode(r)
			},
		},
	)
	c := reader.Open(0, 0)
	defer c.Close()
	all := drain(t, c, 3)
	_, err := all[0].Event()
	require.EqualError(t, err, "decoder panicked: no")
	event, err := all[1].Event()
	require.EqualError(t, err, "unreadable")
	require.Equal(t, domain.Position{Offset: 1}, event.Position)
	_, err = all[2].Event()
	require.NoError(t, err)

	rec := eventlog.Record{Key: []byte("s")}
	_, err = eventlog.Decode(decode, &rec, 4096)
	require.ErrorContains(t, err, "belong in partition")
	require.True(t, eventlog.IsUnusable(err))
}

func BenchmarkReader(b *testing.B) {
	log := memlog.New(1)
	for i := range 200 {
		rs := make([]eventlog.Record, 1000)
		for j := range rs {
			id := strconv.Itoa(i*1000 + j)
			rs[j] = eventlog.Record{Value: make([]byte, 100), Headers: []eventlog.Header{
				{
					Key: eventlog.HeaderID, Value: []byte(id),
				}, {Key: eventlog.HeaderSource, Value: []byte("https://sis.example")},
			}}
		}
		if _, err := log.Append(b.Context(), "s", rs); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		c := eventlog.NewReader(eventlog.ReaderConfig{Source: log, Decode: decode}).Open(0, 0)
		for next := int64(0); next < 200_000; {
			s, err := c.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			next = s.Next
		}
		c.Close()
	}
	b.ReportMetric(200_000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
