package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// upload begins an upload and sends nothing of its body but a byte.
func (s *stack) upload(school, announced string) net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /v1/schools/%s/events HTTP/1.1\r\nHost: x\r\n"+
		"Authorization: Bearer %s\r\nContent-Type: %s\r\n%s\r\n\r\n1\r\n[\r\n", school,
		token(s.t, school, "sis", "events:write"), cloudevents.BatchType, announced)
	require.NoError(s.t, err)
	return conn
}

func TestP9_SlowUploadsOfASchoolKeepNoOtherFromPublishing(t *testing.T) {
	t.Parallel()
	s := logOnly(t, func(c *httpapi.Config, _ *httpapi.Deps) {
		c.MaxBody, c.InFlightBytes = 256<<10, 2<<20
	})
	const uploads, share = 16, 4 // 64 KiB each of an eighth of 2 MiB
	statuses := make(chan int, uploads)
	for i := range uploads {
		announced := "Transfer-Encoding: chunked"
		if i%2 == 0 {
			announced = "Content-Length: 250000"
		}
		conn := s.upload("hostile", announced)
		go func() {
			r, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				statuses <- 0
				return
			}
			_ = r.Body.Close()
			statuses <- r.StatusCode
		}()
	}
	require.Eventually(t, func() bool {
		r := s.do(http.MethodPost, "/v1/schools/hostile/events",
			token(t, "hostile", "sis", "events:write"), "{}",
			"Content-Type", cloudevents.StructuredType)
		return r.StatusCode == http.StatusTooManyRequests
	}, 10*time.Second, time.Millisecond, "the share is full")
	s.publish("north", marked("a", "s-1", "present"))
	outcomes := map[int]int{}
	for range uploads {
		outcomes[<-statuses]++
	}
	require.Len(t, outcomes, 2, "%v", outcomes)
	require.GreaterOrEqual(t, outcomes[http.StatusRequestTimeout], share, "they end by themselves")
	s.publish("hostile", marked("a", "s-1", "present"))
}

// A school whose events wait to be read sends more: they are held for a while and then refused, with
// when to come again. Its neighbour in the partition is not concerned.
func TestP11_ASchoolIsTakenAsFastAsItIsRead(t *testing.T) {
	t.Parallel()
	const north, hostile = "north", "hostile-4"
	require.Equal(t, eventlog.PartitionFor(north, partitions),
		eventlog.PartitionFor(hostile, partitions))
	s := logOnly(t, func(_ *httpapi.Config, d *httpapi.Deps) {
		// It does not run, so nothing is known to be read.
		d.Pacer = ingest.NewPacer(ingest.PacerConfig{
			MaxLag: time.Second, Partitions: partitions, Readers: 1,
			Metrics: prometheus.NewRegistry(),
		})
	})
	send := func(school string, first, n int) response {
		var events []string
		for i := range n {
			events = append(events, marked(fmt.Sprint(first+i), "s-1", "present"))
		}
		return s.do(http.MethodPost, "/v1/schools/"+school+"/events",
			token(t, school, "sis", "events:write"), "["+strings.Join(events, ",")+"]",
			"Content-Type", cloudevents.BatchType)
	}
	require.Equal(t, http.StatusAccepted, send(hostile, 0, 1000).StatusCode)
	r := send(hostile, 1000, 1000)
	require.Equal(t, http.StatusTooManyRequests, r.StatusCode)
	require.Equal(t, "1", r.Header.Get("Retry-After"))
	require.Contains(t, r.problem(t).Detail, "none of these were taken")
	require.Equal(t, http.StatusAccepted, send(hostile, 500, 500).StatusCode,
		"events that it has already are nothing to read")
	require.Equal(t, http.StatusAccepted, send(north, 0, 500).StatusCode)
}

func TestSlowPicturesAreRefused(t *testing.T) {
	t.Parallel()
	s := full(t)
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "PUT /v1/schools/hostile/logo HTTP/1.1\r\nHost: x\r\n"+
		"Authorization: Bearer %s\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n"+
		"\x89PNG", token(t, "hostile", "ada", "admin"))
	require.NoError(t, err)
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, http.StatusRequestTimeout, r.StatusCode)
}

// held are tables that hold the reads of one school.
type held struct {
	httpapi.Tables
	school  string
	running chan struct{}
	hold    chan struct{}
}

func (h held) Read(ctx context.Context, school string, fn func(pgx.Tx) error) error {
	if school == h.school {
		h.running <- struct{}{}
		<-h.hold
	}
	return h.Tables.Read(ctx, school, fn)
}

func TestP9_ExpensiveReadsOfASchoolTakeOnlyItsShare(t *testing.T) {
	t.Parallel()
	h := held{school: "hostile", running: make(chan struct{}, 60), hold: make(chan struct{})}
	s := full(t, func(_ *httpapi.Config, d *httpapi.Deps) {
		h.Tables = d.Tables
		d.Tables = h
	})
	release := sync.OnceFunc(func() { close(h.hold) })
	t.Cleanup(release) // before the server waits for its requests
	// Each is a query that no other has asked, so that none shares its result.
	read := func(school string, i int) int {
		return s.get(fmt.Sprintf("/v1/schools/%s/students?q=s-%d", school, i),
			token(t, school, "head", "admin")).StatusCode
	}
	const readers = 60
	statuses := make(chan int, readers)
	for i := range readers {
		go func() { statuses <- read("hostile", i) }()
	}
	for range 4 {
		<-h.running
	}
	require.Equal(t, http.StatusOK, read("north", 0))
	for range readers - 4 {
		require.Equal(t, http.StatusTooManyRequests, <-statuses, "none waits for ever")
	}
	require.Empty(t, h.running, "four at a time")
	release()
	for range 4 {
		require.Equal(t, http.StatusOK, <-statuses)
	}
}

func TestEachSchoolHasItsRateOfRequests(t *testing.T) {
	t.Parallel()
	s := logOnly(t, func(c *httpapi.Config, _ *httpapi.Deps) { c.RequestRate = 0.5 })
	read := func(school, user string) response {
		return s.get("/v1/schools/"+school+"/events", token(t, school, user, "admin"))
	}
	require.Equal(t, http.StatusOK, read("hostile", "one").StatusCode)
	r := read("hostile", "two")
	require.Equal(t, http.StatusTooManyRequests, r.StatusCode, "its users share the rate")
	require.NotEmpty(t, r.Header.Get("Retry-After"))
	r.problem(t)
	require.Equal(t, http.StatusOK, read("north", "one").StatusCode)
	s.publish("hostile", marked("a", "s-1", "present"))
}
