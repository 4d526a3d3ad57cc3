package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// countingLog counts what is fetched.
type countingLog struct {
	httpapi.Log
	fetches, records atomic.Int64
}

func (c *countingLog) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (eventlog.Batch, error) {
	b, err := c.Log.Fetch(ctx, partition, offset, maxBytes, maxWait)
	c.fetches.Add(1)
	c.records.Add(int64(len(b.Records)))
	return b, err
}

// counted makes the API read a log that counts.
func counted(c *countingLog) option {
	return func(_ *httpapi.Config, d *httpapi.Deps) {
		c.Log = d.Log
		d.Log = c
	}
}

// neighbourOf is a school in the same partition.
func neighbourOf(school string) string {
	for i := 0; ; i++ {
		other := fmt.Sprint("neighbour-", i)
		if eventlog.PartitionFor(other, partitions) == eventlog.PartitionFor(school, partitions) {
			return other
		}
	}
}

// publishMany publishes marks of students that no others mark, and returns the last one's position.
func (s *stack) publishMany(school, prefix string, n int) (at string) {
	s.t.Helper()
	for first := 0; first < n; first += 500 {
		events := make([]string, min(500, n-first))
		for i := range events {
			id := fmt.Sprint(prefix, first+i)
			events[i] = marked(id, "s-"+id, "present")
		}
		at = s.publish(school, events...)
	}
	return at
}

// caughtUp waits until the tables have reached a position.
func (s *stack) caughtUp(school, at string) {
	s.t.Helper()
	require.Equal(s.t, http.StatusOK, s.get("/v1/schools/"+school+"/analytics/attendance",
		token(s.t, school, "u", "admin"), "Schoolbell-Min-Position", at).StatusCode)
}

type logPage struct {
	Next   string `json:"next"`
	Events []struct {
		ID string `json:"id"`
	} `json:"events"`
}

func (p logPage) ids() (ids []string) {
	for _, e := range p.Events {
		ids = append(ids, e.ID)
	}
	return ids
}

func (s *stack) page(school, query string) (p logPage) {
	s.t.Helper()
	r := s.get("/v1/schools/"+school+"/events?"+query, token(s.t, school, "u", "admin"))
	require.Equal(s.t, http.StatusOK, r.StatusCode, string(r.body))
	require.NoError(s.t, json.Unmarshal(r.body, &p))
	require.Equal(s.t, p.Next, r.Header.Get("Schoolbell-Position"))
	return p
}

func cpu(t *testing.T) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A school that shares its partition with a large one neither pays for its neighbour's events nor
// learns of them.
func TestP11_AReadOfTheLogLeavesOutTheNeighbours(t *testing.T) {
	t.Parallel()
	log := &countingLog{}
	s := full(t, counted(log))
	const quiet = "quiet"
	large, p := neighbourOf(quiet), eventlog.PartitionFor(quiet, partitions)
	before := domain.Position{Partition: p, Offset: -1}.String()
	s.caughtUp(large, s.publishMany(large, "a", 30_000))

	log.records.Store(0)
	none := s.page(quiet, "limit=1")
	require.Empty(t, none.Events)
	require.Equal(t, before, none.Next, "how much others write is no concern of the school's")
	require.Zero(t, log.records.Load(), "records fetched")
	cost := func(school string) time.Duration {
		const reads = 100
		from := cpu(t)
		for range reads {
			s.page(school, "limit=1")
		}
		return (cpu(t) - from) / reads
	}
	other, own := cost(large), cost(quiet)
	t.Logf("a read of %s takes %v of CPU, and of %s %v: %.2f", quiet, own, large, other,
		float64(own)/float64(other))

	first := s.publish(quiet, marked("q1", "s-1", "present"))
	s.publishMany(large, "b", 6000)
	second := s.publish(quiet, marked("q2", "s-1", "late"))
	last := s.publishMany(large, "c", 6000)
	s.caughtUp(large, last)
	log.records.Store(0)
	both := s.page(quiet, "limit=10")
	require.Equal(t, []string{"q1", "q2"}, both.ids())
	require.Equal(t, second, both.Next)
	require.LessOrEqual(t, log.records.Load(), int64(8), "records fetched")
	require.Equal(t, []string{"q2"}, s.page(quiet, "after="+first).ids())

	// Repetitions and what nobody can use are not in it.
	s.publish(quiet, marked("q3", "s-1", "late"))
	_, err := s.log.Append(t.Context(), quiet, []eventlog.Record{{Value: []byte("\xff")}})
	require.NoError(t, err)
	again, err := s.log.Fetch(t.Context(), p, 0, 1<<30, 0)
	require.NoError(t, err)
	for _, rec := range again.Records {
		if string(rec.Key) == quiet {
			_, err := s.log.Append(t.Context(), quiet, []eventlog.Record{
				{Headers: rec.Headers, Value: rec.Value, Time: rec.Time},
			})
			require.NoError(t, err)
		}
	}
	s.caughtUp(quiet, s.publish(quiet, marked("q4", "s-1", "late")))
	require.Equal(t, []string{"q1", "q2", "q3", "q4"}, s.page(quiet, "limit=10").ids())

	// What retention has removed of others is not missing.
	at, err := domain.ParsePosition(second)
	require.NoError(t, err)
	s.log.Truncate(p, at.Offset+1)
	require.Equal(t, []string{"q3", "q4"}, s.page(quiet, "after="+second).ids())
	r := s.get("/v1/schools/quiet/events?after="+first, token(t, quiet, "u", "admin"))
	require.Equal(t, http.StatusGone, r.StatusCode, "q2 is missing")
	s.log.Truncate(p, at.Offset+100)
	require.Equal(t, []string{"q3", "q4"}, s.page(quiet, "after="+second).ids(), "nothing is missing")
}

// Without an index a request reads a bounded part of the log, and says how far it has come.
func TestP11_WithoutAnIndexAReadOfTheLogIsBounded(t *testing.T) {
	t.Parallel()
	log := &countingLog{}
	s := logOnly(t, counted(log))
	const quiet, records = "quiet", 50_000
	foreign := make([]eventlog.Record, records)
	for i := range foreign {
		foreign[i].Value = make([]byte, 100)
	}
	_, err := s.log.Append(t.Context(), neighbourOf(quiet), foreign)
	require.NoError(t, err)
	s.publish(quiet, marked("q1", "s-1", "present"))
	var found []string
	after, pages := "", 0
	for ; len(found) == 0; pages++ {
		log.records.Store(0)
		p := s.page(quiet, after)
		require.Less(t, log.records.Load(), int64(records))
		require.NotEqual(t, after, "after="+p.Next)
		found, after = p.ids(), "after="+p.Next
	}
	require.Equal(t, []string{"q1"}, found)
	require.Equal(t, 2, pages)
}

// A partition that cannot be decoded in one place can be read on both sides of it.
func TestP9_AReadOfTheLogPassesOverABatchThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	p := eventlog.PartitionFor("north", partitions)
	s := logOnly(t, func(_ *httpapi.Config, d *httpapi.Deps) { d.Log = undecodable{d.Log, p} })
	s.publish("north", marked("a", "s-1", "present"))
	s.publish("north", marked("b", "s-1", "late"), marked("c", "s-2", "late"))
	s.publish("north", marked("d", "s-1", "present"))
	require.Equal(t, []string{"a", "d"}, s.page("north", "").ids())
}

// undecodable is a log that cannot decode offsets 1 and 2 of a partition.
type undecodable struct {
	httpapi.Log
	partition int32
}

func (u undecodable) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (eventlog.Batch, error) {
	if partition == u.partition && (offset == 1 || offset == 2) {
		return eventlog.Batch{}, &eventlog.UndecodableError{
			First: offset, Last: 2, Err: fmt.Errorf("inflates"),
		}
	}
	b, err := u.Log.Fetch(ctx, partition, offset, maxBytes, maxWait)
	if partition == u.partition && offset < 1 && len(b.Records) > 1 {
		b.Records, b.Next = b.Records[:1], 1
	}
	return b, err
}
