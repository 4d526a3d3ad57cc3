package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections/query"
)

const attendancePath = "/v1/schools/north/analytics/attendance?from=2026-09-01&to=2026-09-30"

func totals(t *testing.T, r response) map[string]int {
	t.Helper()
	require.Equal(t, http.StatusOK, r.StatusCode, string(r.body))
	var answer struct {
		Totals map[string]int `json:"totals"`
	}
	require.NoError(t, json.Unmarshal(r.body, &answer))
	return answer.Totals
}

func TestP7_AReadSeesThePositionItNames(t *testing.T) {
	t.Parallel()
	s := full(t)
	admin := token(t, "north", "u", "admin")
	for i := range 30 {
		at := s.publish("north", marked(fmt.Sprintf("e-%d", i), fmt.Sprintf("s-%d", i), "present"))
		r := s.get(attendancePath, admin, "Schoolbell-Min-Position", at)
		require.Equal(t, i+1, totals(t, r)["present"], "read after write %d (%s)", i,
			r.Header.Get("X-Cache"))
		answered, err := domain.ParsePosition(r.Header.Get("Schoolbell-Position"))
		require.NoError(t, err)
		wanted, err := domain.ParsePosition(at)
		require.NoError(t, err)
		require.GreaterOrEqual(t, answered.Offset, wanted.Offset)
	}
}

func TestAReadOfAFuturePositionDelaysNoOther(t *testing.T) {
	t.Parallel()
	var positions *checkpoint.Positions
	s := full(t, func(c *httpapi.Config, d *httpapi.Deps) {
		c.WaitLimit, positions = time.Hour,
			d.Positions
	})
	admin := token(t, "north", "u", "admin")
	at, err := domain.ParsePosition(s.publish("north", marked("e", "s", "present")))
	require.NoError(t, err)
	at.Offset += 1000
	ctx, leave := context.WithCancel(t.Context())
	var ahead errgroup.Group
	ahead.Go(func() error {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, attendancePath, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+admin)
		r.Header.Set("Schoolbell-Min-Position", at.String())
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			return fmt.Errorf("got a response at %s", w.Header().Get("Schoolbell-Position"))
		}
		return nil
	})
	require.Eventually(t, func() bool { return positions.Waiting() == 1 }, 10*time.Second,
		time.Millisecond)
	totals(t, s.get(attendancePath, admin))
	leave()
	require.NoError(t, ahead.Wait())
}

func TestP7_WithoutAProjectorPositionsComeFromTheDatabase(t *testing.T) {
	t.Parallel()
	s := full(t, func(_ *httpapi.Config, d *httpapi.Deps) {
		// without notices
		d.Positions = checkpoint.NewPositions(d.Tables.(*postgres.Pool).Acquire, setName)
		d.Cache = nil
	})
	admin := token(t, "north", "u", "admin")
	var readers errgroup.Group
	for i := range 20 {
		at := s.publish("north", marked(fmt.Sprintf("e-%d", i), fmt.Sprintf("s-%d", i), "present"))
		readers.Go(func() error {
			r := s.get(attendancePath, admin, "Schoolbell-Min-Position", at)
			var answer struct {
				Totals struct {
					Present int `json:"present"`
				} `json:"totals"`
			}
			if err := json.Unmarshal(r.body, &answer); err != nil || answer.Totals.Present <= i {
				return fmt.Errorf("%d: after event %d: %s", r.StatusCode, i, r.body)
			}
			return nil
		})
	}
	require.NoError(t, readers.Wait())
}

// TestP7_ReadsAreMonotonic races readers and writers while Redis is flushed, stopped and started
// again. A response must cover the position that it names: the n-th event marks the
// n-th student.
func TestP7_ReadsAreMonotonic(t *testing.T) {
	t.Parallel()
	s := full(t)
	admin := token(t, "north", "u", "admin")
	last := s.publish("north", marked("e-0", "s-0", "present"))
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	outcomes := map[string]int{}
	read := func() error {
		mu.Lock()
		minPosition := last
		mu.Unlock()
		r := s.get(attendancePath, admin, "Schoolbell-Min-Position", minPosition)
		var answer struct {
			Totals struct {
				Present int64 `json:"present"`
			} `json:"totals"`
		}
		if err := json.Unmarshal(r.body, &answer); err != nil || r.StatusCode != http.StatusOK {
			return fmt.Errorf("%d: %s", r.StatusCode, r.body)
		}
		at, err := domain.ParsePosition(r.Header.Get("Schoolbell-Position"))
		if err != nil {
			return err
		}
		wanted, err := domain.ParsePosition(minPosition)
		if err != nil {
			return err
		}
		outcome := r.Header.Get("X-Cache")
		if at.Offset < wanted.Offset || answer.Totals.Present < at.Offset+1 {
			return fmt.Errorf("%s: required %s, got %d marks at %s", outcome, wanted,
				answer.Totals.Present, at)
		}
		mu.Lock()
		outcomes[outcome]++
		mu.Unlock()
		return nil
	}
	var readers errgroup.Group
	for range 4 {
		readers.Go(func() error {
			for ctx.Err() == nil {
				if err := read(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	missed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return outcomes["miss"] > 0
	}
	for i := 1; i < 150 || !missed() && i < 5000; i++ {
		at := s.publish("north", marked(fmt.Sprintf("e-%d", i), fmt.Sprintf("s-%d", i), "present"))
		mu.Lock()
		last = at
		mu.Unlock()
		switch {
		case i%20 == 7:
			s.redis.FlushAll()
		case i%40 == 15:
			s.redis.SetError("LOADING it is being awkward")
		case i%40 == 20:
			s.redis.SetError("")
		}
	}
	stop()
	require.NoError(t, readers.Wait())
	require.True(t, missed())
}

func TestResultsAreCached(t *testing.T) {
	t.Parallel()
	var version atomic.Int64 // of the school's settings
	s := full(t, func(_ *httpapi.Config, d *httpapi.Deps) {
		d.Numbers = func(context.Context, string) (query.Settings, error) {
			return query.Settings{Version: version.Load()}, nil
		}
	})
	admin := token(t, "north", "u", "admin")
	at := s.publish("north", marked("e", "s", "late"))
	require.Equal(t, "miss",
		s.get(attendancePath, admin, "Schoolbell-Min-Position", at).Header.Get("X-Cache"))
	var hit response
	require.Eventually(t, func() bool { // the cache is notified after the commit
		hit = s.get(attendancePath, admin, "Schoolbell-Min-Position", at)
		return hit.Header.Get("X-Cache") == "hit"
	}, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, 1, totals(t, hit)["late"])
	require.Equal(t, "private, no-cache", hit.Header.Get("Cache-Control"))
	require.Contains(t, hit.Header.Values("Vary"), "Authorization")
	require.NotEmpty(t, hit.Header.Get("Server-Timing"))
	require.Equal(t, "0", hit.Header.Get("Schoolbell-Parked"))

	version.Store(1)
	require.Equal(t, "miss", s.get(attendancePath, admin).Header.Get("X-Cache"),
		"what was made with other settings is not served")

	tag := hit.Header.Get("ETag")
	require.True(t, strings.HasPrefix(tag, `W/"`), tag)
	same := s.get(attendancePath, admin, "If-None-Match", `"x", `+tag)
	require.Equal(t, http.StatusNotModified, same.StatusCode)
	require.Empty(t, same.body)

	s.publish("north", marked("f", "s2", "late"))
	require.Eventually(t, func() bool {
		return s.get(attendancePath, admin, "If-None-Match", tag).StatusCode == http.StatusOK
	}, 10*time.Second, 5*time.Millisecond, "a change makes a new result")

	s.redis.Close()
	r := s.get(attendancePath, admin)
	require.Equal(t, 2, totals(t, r)["late"])
	require.Equal(t, "bypass", r.Header.Get("X-Cache"))
}

func TestAPositionThatIsNotReachedIsUnavailable(t *testing.T) {
	t.Parallel()
	s := full(t, func(c *httpapi.Config, _ *httpapi.Deps) { c.WaitLimit = 30 * time.Millisecond })
	admin := token(t, "north", "u", "admin")
	own := eventlog.PartitionFor("north", partitions)
	r := s.get(attendancePath, admin, "Schoolbell-Min-Position", fmt.Sprintf("%d:1000", own))
	require.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
	require.Equal(t, "1", r.Header.Get("Retry-After"))
	r.problem(t)
	for _, bad := range []string{"x", "7", fmt.Sprintf("%d:5", (own+1)%partitions), "-1:5"} {
		r := s.get(attendancePath, admin, "Schoolbell-Min-Position", bad)
		require.Equal(t, http.StatusBadRequest, r.StatusCode, bad)
		r.problem(t)
	}
}

func TestParametersOfQueriesAreChecked(t *testing.T) {
	t.Parallel()
	s := full(t)
	admin := token(t, "north", "u", "admin")
	for _, path := range []string{
		"/v1/schools/north/analytics/attendance?from=yesterday",
		"/v1/schools/north/analytics/attendance?colour=red",
		"/v1/schools/north/students?limit=many", "/v1/schools/north/students?after=invented",
		// a cursor with a NUL in it
		"/v1/schools/north/students?after=eyJuIjoiXHUwMDAwIiwicyI6IngifQ",
	} {
		r := s.get(path, admin)
		require.Equal(t, http.StatusUnprocessableEntity, r.StatusCode, "%s: %s", path, r.body)
		r.problem(t)
	}
	for _, path := range []string{
		"/v1/schools/north/students?q=%00", "/v1/schools/north/students?q=%ff",
		"/v1/schools/north/students/%00",
		"/v1/schools/north/students/%ff/timeline",
		"/v1/schools/north/analytics/attendance?from=2026-09-01&from=2026-09-02",
		"/v1/schools/north/analytics/performance?term=%zz", "/v1/schools/north/classes?%ff",
	} {
		r := s.get(path, admin)
		require.Equal(t, http.StatusBadRequest, r.StatusCode, "%s: %s", path, r.body)
		r.problem(t)
	}
	r := s.get("/v1/schools/north/students/nobody", admin)
	require.Equal(t, http.StatusNotFound, r.StatusCode)
	r.problem(t)
}

func TestP10_GuardiansSeeTheirOwnStudentsOnly(t *testing.T) {
	t.Parallel()
	s := full(t)
	at := s.publish("north", enrolled("s-1"), enrolled("s-2"),
		structured("l", "guardian.linked",
			`{"guardian_id":"g-1","student_id":"s-1","name":"G","relation":"mother","primary":true}`))
	get := func(student, token string) int {
		r := s.get("/v1/schools/north/students/"+student, token, "Schoolbell-Min-Position", at)
		if r.StatusCode == http.StatusOK {
			require.Contains(t, []string{"bypass", "miss", "hit"}, r.Header.Get("X-Cache"))
		}
		return r.StatusCode
	}
	guardian := token(t, "north", "g-1", "guardian")
	require.Equal(t, 200, get("s-1", guardian))
	require.Equal(t, 403, get("s-2", guardian))
	require.Equal(t, 403, get("nobody", guardian),
		"nor is it revealed that there is no such student")
	require.Equal(t, 200, get("s-2", token(t, "north", "s-2", "student")))
	require.Equal(t, 403, get("s-1", token(t, "north", "s-2", "student")))
	require.Equal(t, 403, get("s-1", token(t, "north", "s-1", "guardian")),
		"a guardian with a student's id is not that student")
	require.Equal(t, 403, get("s-2", token(t, "north", "t", "teacher")), "not of the teacher's classes")
	require.Equal(t, 403, s.get("/v1/schools/north/students", guardian).StatusCode)
	require.Equal(t, "bypass",
		s.get("/v1/schools/north/students/s-1", guardian).Header.Get("X-Cache"))
}

func TestP10_WithoutASchoolTablesAreEmpty(t *testing.T) {
	t.Parallel()
	s := full(t)
	last := map[string]string{}
	for _, school := range []string{"north", "south", "east"} {
		last[school] = s.publish(school, enrolled("s-1"), marked("m", "s-1", "late"),
			structured("i", "fee.invoiced",
				`{"invoice_id":"i","student_id":"s-1","year":"1","term":"1","category":"c","amount":5,"currency":"EUR","due_on":"2026-10-01"}`))
		r := s.get("/v1/schools/"+school+"/students", token(t, school, "u", "admin"),
			"Schoolbell-Min-Position", last[school])
		require.Equal(t, 200, r.StatusCode)
	}
	conn, err := pgx.Connect(t.Context(), s.dsn)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `SELECT c.table_name FROM information_schema.columns c
		JOIN information_schema.tables USING (table_schema, table_name)
		WHERE table_schema = 'schoolbell' AND column_name = 'school' AND table_type = 'BASE TABLE' ORDER BY 1`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Greater(t, len(tables), 10)
	seen := 0
	for _, table := range tables {
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			var secured, forced bool
			require.NoError(t, tx.QueryRow(t.Context(),
				`SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1::regclass`,
				"schoolbell."+table).Scan(&secured, &forced))
			require.True(t, secured && forced, "%s has no row-level security", table)
			var allowed bool
			require.NoError(t, tx.QueryRow(t.Context(),
				`SELECT has_table_privilege('schoolbell_api', $1, 'SELECT')`,
				"schoolbell."+table).Scan(&allowed))
			if !allowed {
				return nil
			}
			_, err := tx.Exec(t.Context(), "SET LOCAL ROLE schoolbell_api")
			require.NoError(t, err)
			count := func(where string) (n int) {
				require.NoError(t, tx.QueryRow(t.Context(),
					"SELECT count(*) FROM schoolbell."+table+where).Scan(&n))
				return n
			}
			require.Zero(t, count(""), "%s has rows without a school", table)
			_, err = tx.Exec(t.Context(), "SELECT set_config('schoolbell.school', 'south', true)")
			require.NoError(t, err)
			require.Zero(t, count(" WHERE school <> 'south'"), table)
			seen += count("")
			return nil
		})
		require.NoError(t, err)
	}
	require.Positive(t, seen)
}

// TestP9_GarbageInTheLogParksNothingAndIsReported writes records past the API, as a foreign Kafka
// client may. What cannot be used is passed over, and the reader of the log is told how many.
func TestP9_GarbageInTheLogParksNothingAndIsReported(t *testing.T) {
	t.Parallel()
	s := full(t)
	admin := token(t, "north", "u", "admin")
	garbage := []eventlog.Record{
		{Value: []byte("\x00\xff")},
		{
			Value: []byte(`{"student_id":`),
			Headers: []eventlog.Header{
				{Key: "ce_subject", Value: []byte("s-9")},
				{Key: "ce_type", Value: []byte("\xff")},
			},
		},
	}
	_, err := s.log.Append(t.Context(), "north", garbage)
	require.NoError(t, err)
	at := s.publish("north", marked("e", "s-1", "present"))
	r := s.get(attendancePath, admin, "Schoolbell-Min-Position", at)
	require.Equal(t, 1, totals(t, r)["present"], "the stream continues")
	require.Equal(t, "0", r.Header.Get("Schoolbell-Parked"), "and nothing of the school waits")

	var page struct {
		Unreadable int              `json:"unreadable"`
		Events     []map[string]any `json:"events"`
	}
	require.NoError(t, json.Unmarshal(s.get("/v1/schools/north/events", admin).body, &page))
	require.Len(t, page.Events, 1)
	require.Zero(t, page.Unreadable, "nobody can read them, so they are dead letters")
}

func BenchmarkCachedRead(b *testing.B) {
	s := full(b)
	bearer := "Bearer " + token(b, "north", "u", "admin")
	at := s.publish("north", marked("e", "s", "late"))
	read := func() string {
		r := httptest.NewRequest(http.MethodGet, attendancePath, nil)
		r.Header.Set("Authorization", bearer)
		r.Header.Set("Schoolbell-Min-Position", at)
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		return w.Header().Get("X-Cache")
	}
	require.Eventually(b, func() bool { return read() == "hit" }, 10*time.Second, time.Millisecond)
	for b.Loop() {
		if outcome := read(); outcome != "hit" {
			b.Fatal(outcome)
		}
	}
}

// A position of another log is refused everywhere, though this one has an event at its offset.
func TestP7_PositionsOfAnotherLogAreRefused(t *testing.T) {
	t.Parallel()
	const this, other = domain.LogID("k3f9a"), domain.LogID("x1y2z")
	s := full(t, func(_ *httpapi.Config, d *httpapi.Deps) { d.LogID = this })
	admin := token(t, "north", "u", "admin", "events:read")
	var at domain.LogPosition
	require.NoError(t, at.UnmarshalText([]byte(s.publish("north", marked("e", "s", "present")))))
	require.Equal(t, this, at.Log)
	for name, c := range map[string]struct {
		at   domain.LogPosition
		want int
	}{
		"of this log":    {at, http.StatusOK},
		"without a name": {domain.LogPosition{Position: at.Position}, http.StatusOK},
		"of another log": {other.At(at.Position), http.StatusConflict},
	} {
		r := s.get(attendancePath, admin, "Schoolbell-Min-Position", c.at.String())
		require.Equal(t, c.want, r.StatusCode, "%s: %s", name, r.body)
		if c.want == http.StatusOK {
			require.Equal(t, at.String(), r.Header.Get("Schoolbell-Position"))
		}
		r = s.get("/v1/schools/north/events?after="+c.at.String(), admin)
		require.Equal(t, c.want, r.StatusCode, "%s: %s", name, r.body)
		if c.want == http.StatusConflict {
			require.Contains(t, string(r.body), "belongs to another log")
		}
	}
}
