package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

func TestEventsAreAcceptedAndRead(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	writer := token(t, "north", "sis", "events:write", "events:read")
	r := s.do(http.MethodPost, "/v1/schools/north/events", writer,
		"["+marked("a", "s-1", "present")+","+marked("b", "s-2", "late")+","+
			marked("a", "s-1", "present")+"]",
		"Content-Type", cloudevents.BatchType, "Traceparent",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	require.Equal(t, http.StatusAccepted, r.StatusCode, string(r.body))
	var got httpapi.Accepted
	require.NoError(t, json.Unmarshal(r.body, &got))
	p := eventlog.PartitionFor("north", partitions)
	at := func(offset int64) domain.LogPosition {
		return domain.LogPosition{Position: domain.Position{Partition: p, Offset: offset}}
	}
	require.Equal(t, httpapi.Accepted{
		Accepted: 2, Duplicates: 1, Position: at(1),
		Events: []httpapi.AcceptedEvent{{"a", at(0)}, {"b", at(1)}, {"a", at(0)}},
	}, got)
	require.Equal(t, got.Position.String(), r.Header.Get("Schoolbell-Position"))

	r = s.get("/v1/schools/north/events", writer, "Accept", "application/x-ndjson")
	lines := strings.Split(strings.TrimSpace(string(r.body)), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0],
		`"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`)
	require.Contains(t, lines[0], fmt.Sprintf(`"position":"%d:0"`, p))

	r = s.get(fmt.Sprintf("/v1/schools/north/events?after=%d:0&limit=5", p), writer)
	var page struct {
		Next   string           `json:"next"`
		Events []map[string]any `json:"events"`
	}
	require.NoError(t, json.Unmarshal(r.body, &page), string(r.body))
	require.Len(t, page.Events, 1)
	require.Equal(t, "b", page.Events[0]["id"])
	require.Equal(t, got.Position.String(), page.Next)

	again := s.do(http.MethodPost, "/v1/schools/north/events", writer, lines[0], "Content-Type",
		cloudevents.StructuredType)
	require.Equal(t, http.StatusAccepted, again.StatusCode,
		"what tail prints can be published: "+string(again.body))
}

// A producer that had no response repeats its request, and one whose counter starts again uses ids
// twice: it learns both.
func TestARepetitionIsReported(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
	s := logOnly(t, func(_ *httpapi.Config, d *httpapi.Deps) {
		d.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	const header = "Content-Type"
	p := eventlog.PartitionFor("north", partitions)
	at := func(offset int64) domain.LogPosition {
		return domain.LogPosition{Position: domain.Position{Partition: p, Offset: offset}}
	}
	send := func(events ...string) (got httpapi.Accepted) {
		t.Helper()
		r := s.do(http.MethodPost, "/v1/schools/north/events",
			token(t, "north", "sis", "events:write"), "["+strings.Join(events, ",")+"]",
			header, cloudevents.BatchType)
		require.Equal(t, http.StatusAccepted, r.StatusCode, string(r.body))
		require.NoError(t, json.Unmarshal(r.body, &got))
		return got
	}
	send(marked("a", "s-1", "present"), marked("b", "s-2", "late"))
	pass(59 * time.Second)
	require.Equal(t, httpapi.Accepted{
		Accepted: 1, Duplicates: 1, Position: at(2),
		Events: []httpapi.AcceptedEvent{{ID: "b", Position: at(1)}, {ID: "c", Position: at(2)}},
	}, send(marked("b", "s-2", "late"), marked("c", "s-3", "late")))
	require.Equal(t, httpapi.Accepted{
		Duplicates: 1, Position: at(0), Events: []httpapi.AcceptedEvent{{ID: "a", Position: at(0)}},
	}, send(marked("a", "s-1", "present")), "nothing is written")

	require.Equal(t, httpapi.Accepted{
		Duplicates: 1, Conflicts: 1, Position: at(3),
		Events: []httpapi.AcceptedEvent{{ID: "a", Position: at(3)}},
	}, send(marked("a", "s-1", "late")), "the log has it, for its readers to report")
	require.Equal(t, httpapi.Accepted{
		Accepted: 1, Duplicates: 2, Conflicts: 1, Position: at(5),
		Events: []httpapi.AcceptedEvent{
			{ID: "d", Position: at(4)}, {ID: "d", Position: at(5)}, {ID: "d", Position: at(4)},
		},
	}, send(marked("d", "s-4", "late"), marked("d", "s-5", "late"), marked("d", "s-4", "late")),
		"within a request as well")

	pass(2 * time.Minute)
	require.Equal(t, 1, send(marked("a", "s-1", "present")).Accepted,
		"that long ago only the log remembers")
	_, end, err := s.log.Bounds(t.Context(), p)
	require.NoError(t, err)
	require.EqualValues(t, 7, end)
}

func TestReadingTheLogWaitsForAnEvent(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	reader := token(t, "north", "sis", "events:read")
	done := make(chan response, 1)
	go func() { done <- s.get("/v1/schools/north/events?wait=30", reader) }()
	s.publish("north", marked("a", "s-1", "present"))
	require.Contains(t, string((<-done).body), `"id":"a"`)
}

func TestALogPageHasOnlyItsSchool(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	for i := range 20 {
		s.publish(fmt.Sprintf("school-%d", i), marked("a", fmt.Sprintf("s-%d", i), "present"))
	}
	for i := range 20 {
		school := fmt.Sprintf("school-%d", i)
		r := s.get("/v1/schools/"+school+"/events", token(t, school, "u", "admin"), "Accept",
			"application/x-ndjson")
		require.Equal(t, 1, strings.Count(string(r.body), "\n"), string(r.body))
		require.Contains(t, string(r.body), fmt.Sprintf(`"student_id":"s-%d"`, i))
	}
}

// Events that were removed from the log are not passed over in silence.
func TestAPositionBeforeTheLogIsToldWhereItBegins(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	for i := range 5 {
		s.publish("north", marked("a", fmt.Sprintf("s-%d", i), "present"))
	}
	p := eventlog.PartitionFor("north", partitions)
	s.log.Truncate(p, 4)
	r := s.get(fmt.Sprintf("/v1/schools/north/events?after=%d:1", p), token(t, "north", "u", "admin"))
	require.Equal(t, http.StatusGone, r.StatusCode)
	require.Contains(t, r.problem(t).Detail, fmt.Sprintf("the log now begins at %d:4", p))
	r = s.get(fmt.Sprintf("/v1/schools/north/events?after=%d:3", p), token(t, "north", "u", "admin"))
	require.Equal(t, http.StatusOK, r.StatusCode, "nothing is missing after this one")
}

func TestAPageOfTheLogIsBounded(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	body := strings.Repeat("long ", 3200) // as long as may be
	events := make([]string, 200)
	for i := range 600 {
		events[i%200] = structured(strconv.Itoa(i), "announcement.posted",
			`{"announcement_id":"a","title":"t","body":"`+body+
				`","audience":{},"channels":["in_app"],"urgent":false}`)
		if i%200 == 199 {
			s.publish("north", events...)
		}
	}
	reader := token(t, "north", "sis", "events:read")
	count, after := 0, ""
	for pages := 0; count < 600; pages++ {
		r := s.get("/v1/schools/north/events?limit=1000"+after, reader)
		require.Equal(t, http.StatusOK, r.StatusCode)
		require.Less(t, len(r.body), 9<<20)
		var page struct {
			Next   string           `json:"next"`
			Events []jsontext.Value `json:"events"`
		}
		require.NoError(t, json.Unmarshal(r.body, &page))
		require.NotEmpty(t, page.Events)
		count, after = count+len(page.Events), "&after="+page.Next
		require.Less(t, pages, 3)
	}
	require.Equal(t, 600, count)
}

func TestParametersOfTheLogAreChecked(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	reader := token(t, "north", "sis", "events:read")
	other := (eventlog.PartitionFor("north", partitions) + 1) % partitions
	r := s.get(fmt.Sprintf("/v1/schools/north/events?after=%d:1&limit=0&wait=31", other), reader)
	require.Equal(t, http.StatusBadRequest, r.StatusCode)
	require.Len(t, r.problem(t).Errors, 3)
	for _, query := range []string{"limit=1&limit=2", "%zz", "a;b", "%ff=1", "after=%00"} {
		r := s.get("/v1/schools/north/events?"+query, reader)
		require.Equal(t, http.StatusBadRequest, r.StatusCode, query)
		r.problem(t)
	}
	r = s.get(fmt.Sprintf("/v1/schools/north/events?after=%d:99",
		eventlog.PartitionFor("north", partitions)), reader)
	require.Equal(t, http.StatusGone, r.StatusCode)
	r.problem(t)
}

func TestP9_InvalidRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	writer := token(t, "north", "sis", "events:write")
	zip := func(b []byte) string {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, err := z.Write(b)
		require.NoError(t, err)
		require.NoError(t, z.Close())
		return out.String()
	}
	bomb := zip(make([]byte, 64<<20))
	require.Less(t, len(bomb), 128<<10)
	many := "[" + strings.Repeat("{},", 1000) + "{}]"
	for name, test := range map[string]struct {
		body    string
		status  int
		headers []string
	}{
		"malformed": {"{", 400, nil},
		"empty":     {"", 400, nil},
		"invalid": {
			structured("a", "attendance.marked", `{"student_id":"s"}`), 422,
			nil,
		},
		"unknown type": {structured("a", "attendance.guessed", `{}`), 422, nil},
		"negative amount": {structured("a", "fee.waived",
			`{"invoice_id":"i","amount":-1,"reason":"r"}`), 422, nil},
		"another school": {strings.Replace(marked("a", "s", "late"), `"id"`,
			`"school":"south","id"`, 1), 422, nil},
		"no content type": {marked("a", "s", "late"), 415, []string{"Content-Type", ""}},
		"wrong content type": {
			marked("a", "s", "late"), 415,
			[]string{"Content-Type", "text/plain"},
		},
		"unknown coding": {
			marked("a", "s", "late"), 415,
			[]string{"Content-Encoding", "br"},
		},
		"not what it says": {
			marked("a", "s", "late"), 400,
			[]string{"Content-Encoding", "gzip"},
		},
		"cut off": {
			zip([]byte(marked("a", "s", "late")))[:60], 400,
			[]string{"Content-Encoding", "gzip"},
		},
		"too large":               {strings.Repeat(" ", 4<<20+1), 413, nil},
		"too large when inflated": {bomb, 413, []string{"Content-Encoding", "gzip"}},
		"too many":                {many, 413, []string{"Content-Type", cloudevents.BatchType}},
		"nested deeply":           {`{"data":` + strings.Repeat("[", 100_000), 400, nil},
	} {
		r := s.do(http.MethodPost, "/v1/schools/north/events", writer, test.body,
			append([]string{"Content-Type", cloudevents.StructuredType}, test.headers...)...)
		require.Equal(t, test.status, r.StatusCode, "%s: %.200s", name, r.body)
		p := r.problem(t)
		if test.status == 422 {
			require.NotEmpty(t, p.Errors, name)
			require.NotNil(t, p.Errors[0].Pointer)
			require.NotNil(t, p.Errors[0].Index)
		}
	}
	_, end, err := s.log.Bounds(t.Context(), eventlog.PartitionFor("north", partitions))
	require.NoError(t, err)
	require.Zero(t, end, "nothing of it is in the log")
}

func TestACompressedBodyIsAccepted(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	_, err := z.Write([]byte(marked("a", "s", "late")))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	r := s.do(http.MethodPost, "/v1/schools/north/events", token(t, "north", "sis", "admin"),
		body.String(),
		"Content-Type", cloudevents.StructuredType, "Content-Encoding", "gzip")
	require.Equal(t, http.StatusAccepted, r.StatusCode, string(r.body))
}

// failing is a log that does not take anything.
type failing struct {
	httpapi.Log
	err error
}

func (f failing) Append(
	ctx context.Context, _ string, _ []eventlog.Record,
) (domain.Position, error) {
	if f.err != nil {
		return domain.Position{}, fmt.Errorf("append: broker 10.1.2.3 said: %w", f.err)
	}
	<-ctx.Done()
	return domain.Position{}, ctx.Err()
}

func TestP1_NothingIsAcceptedUnlessTheLogHasIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err    error
		status int
	}{
		"unavailable": {eventlog.ErrUnavailable, 503},
		"overloaded":  {eventlog.ErrOverloaded, 503},
		"too large":   {eventlog.ErrTooLarge, 413},
		"silent":      {nil, 503},
		"broken":      {fmt.Errorf("disk on fire"), 500},
	} {
		s := logOnly(t, func(c *httpapi.Config, d *httpapi.Deps) {
			c.AppendLimit = 20 * time.Millisecond
			d.Log = failing{d.Log, test.err}
		})
		r := s.do(http.MethodPost, "/v1/schools/north/events", token(t, "north", "sis", "admin"),
			marked("a", "s", "late"),
			"Content-Type", cloudevents.StructuredType)
		require.Equal(t, test.status, r.StatusCode, name)
		require.Equal(t, test.status == 503, r.Header.Get("Retry-After") != "", name)
		r.problem(t)
		require.NotContains(t, string(r.body), "10.1.2.3", "a response reveals nothing internal")
		if test.status == 500 {
			require.Contains(t, s.logs.String(), "disk on fire", "but logged")
		}
	}
}

func TestEachTokenHasItsRate(t *testing.T) {
	t.Parallel()
	s := logOnly(t,
		func(c *httpapi.Config, _ *httpapi.Deps) { c.EventRate, c.MaxEvents = 0.001, 3 })
	send := func(subject string) response {
		return s.do(http.MethodPost, "/v1/schools/north/events",
			token(t, "north", subject, "admin"),
			"["+marked("a", "s", "late")+","+marked("b", "s", "late")+"]", "Content-Type",
			cloudevents.BatchType)
	}
	require.Equal(t, http.StatusAccepted, send("one").StatusCode)
	r := send("one")
	require.Equal(t, http.StatusTooManyRequests, r.StatusCode)
	require.NotEmpty(t, r.Header.Get("Retry-After"))
	r.problem(t)
	require.Equal(t, http.StatusAccepted, send("other").StatusCode)
}

func TestMemoryForBodiesIsBounded(t *testing.T) {
	t.Parallel()
	hold, began := make(chan struct{}), make(chan struct{}, 1)
	s := logOnly(t, func(c *httpapi.Config, d *httpapi.Deps) {
		c.MaxBody, c.InFlightBytes = 1<<20, 1<<20
		d.Log = slow{d.Log, began, hold}
	})
	large := "[" + marked("a", "s", "late") + strings.Repeat(" ", 1<<20-2000) + "]"
	send := func(school string) response {
		return s.do(http.MethodPost, "/v1/schools/"+school+"/events",
			token(t, school, "sis", "admin"), large, "Content-Type", cloudevents.BatchType)
	}
	first := make(chan response, 1)
	go func() { first <- send("north") }()
	<-began
	for school, status := range map[string]int{
		"north": http.StatusTooManyRequests, "south": http.StatusServiceUnavailable,
	} {
		r := send(school)
		require.Equal(t, status, r.StatusCode, school)
		require.NotEmpty(t, r.Header.Get("Retry-After"))
		r.problem(t)
	}
	close(hold)
	require.Equal(t, http.StatusAccepted, (<-first).StatusCode)
	require.Equal(t, http.StatusAccepted, send("south").StatusCode, "memory is given back")
}

// slow is a log that takes its time.
type slow struct {
	httpapi.Log
	began, hold chan struct{}
}

func (s slow) Append(
	ctx context.Context, school string, records []eventlog.Record,
) (domain.Position, error) {
	s.began <- struct{}{}
	<-s.hold
	return s.Log.Append(ctx, school, records)
}

func BenchmarkIngest(b *testing.B) {
	s := logOnly(b, func(c *httpapi.Config, _ *httpapi.Deps) { c.EventRate = 1e9 })
	var events []string
	for i := range 100 {
		events = append(events, marked(fmt.Sprintf("e-%d", i), fmt.Sprintf("s-%d", i), "present"))
	}
	body := "[" + strings.Join(events, ",") + "]"
	writer := "Bearer " + token(b, "north", "sis", "events:write")
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		r := httptest.NewRequest(http.MethodPost, "/v1/schools/north/events",
			strings.NewReader(strings.ReplaceAll(body, `"id":"e-`, fmt.Sprintf(`"id":"%d-`, n))))
		r.Header.Set("Authorization", writer)
		r.Header.Set("Content-Type", cloudevents.BatchType)
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			b.Fatal(w.Body)
		}
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "events/s")
}

// alone, as it looks at the memory of the whole process
func TestP9_AGzipBombIsRefused(t *testing.T) {
	s := logOnly(t)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 256 {
		_, err := z.Write(make([]byte, 1<<20))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	r := httptest.NewRequest(http.MethodPost, "/v1/schools/north/events", &bomb)
	r.Header.Set("Authorization", "Bearer "+token(t, "north", "sis", "admin"))
	r.Header.Set("Content-Type", cloudevents.StructuredType)
	r.Header.Set("Content-Encoding", "gzip")
	w := httptest.NewRecorder()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s.api.ServeHTTP(w, r)
	runtime.ReadMemStats(&after)
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20))
}
