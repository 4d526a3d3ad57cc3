package imports_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/students"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// stack is a log, its tables, and imports that compare one with the other.
type stack struct {
	t         testing.TB
	log       *memlog.Log
	tables    *postgres.Pool
	positions *checkpoint.Positions
}

const set = "analytics"

func newStack(t testing.TB) *stack {
	t.Helper()
	url := devtest.Postgres(t)
	s := &stack{t: t, log: memlog.New(1), tables: devtest.Pool(t, url, postgres.API)}
	s.positions = checkpoint.NewPositions(s.tables.Acquire, set)
	projected, err := projections.NewSet(catalog.All()...)
	require.NoError(t, err)
	engine, err := projections.NewEngine(projections.Config{
		Name: set, Set: projected, Log: s.log, Group: s.log, Decode: cloudevents.Decode,
		Store: postgres.NewProjectionStore(devtest.Pool(t, url, postgres.Projector), projected,
			set),
		MaxParked: 3,
		Notifiers: []projections.Notifier{projections.PositionNotifier(s.positions.Reached)},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{engine.Run, s.positions.Run} {
		running.Go(func() { _ = run(ctx) })
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	return s
}

// imports returns a service. Its log may fail.
func (s *stack) imports(log eventlog.Appender) *imports.Service {
	return imports.New(imports.Config{
		Writer:   ingest.Writer{Log: log, Limit: 10 * time.Second},
		Database: s.tables, Log: s.log, Partitions: 1, Set: set, Positions: s.positions,
		WaitLimit: time.Minute,
	})
}

// publish writes events as another source does.
func (s *stack) publish(school, source string, events ...domain.Event) {
	s.t.Helper()
	for i, data := range events {
		record, err := cloudevents.Encode(&domain.Envelope{
			ID: source + time.Now().Format(time.RFC3339Nano) + string(rune('a'+i)), Source: source,
			Type: typeOf(data), School: school, Subject: data.Subject(),
			Time: time.Now().UTC().Truncate(time.Millisecond), Data: data,
		})
		require.NoError(s.t, err)
		_, err = s.log.Append(s.t.Context(), school, []eventlog.Record{record})
		require.NoError(s.t, err)
	}
}

// roster reads the directory of a school, at the end of the log.
func (s *stack) roster(school string) *students.Roster {
	s.t.Helper()
	_, end, err := s.log.Bounds(s.t.Context(), 0)
	require.NoError(s.t, err)
	if end > 0 {
		require.NoError(s.t, s.positions.Await(s.t.Context(), domain.Position{Offset: end - 1}))
	}
	var r *students.Roster
	require.NoError(s.t, s.tables.Read(s.t.Context(), school, func(tx pgx.Tx) (err error) {
		r, err = students.RosterOf(s.t.Context(), tx, school, today())
		return err
	}))
	return r
}

func today() domain.Date { return domain.DateOf(time.Now().UTC()) }

// crashing is a log that fails after some appends, before or after it has written.
type crashing struct {
	*memlog.Log
	left    int // appends until it fails; negative: it does not
	written bool
}

var errCrash = errors.New("crash")

func (c *crashing) Append(
	ctx context.Context, school string, records []eventlog.Record,
) (domain.Position, error) {
	c.left--
	if c.left == -1 && !c.written {
		return domain.Position{}, errCrash
	}
	at, err := c.Log.Append(ctx, school, records)
	if c.left == -1 {
		return domain.Position{}, errCrash
	}
	return at, err
}

// pack makes a package of a header and rows.
func pack(t testing.TB, header imports.Header, rows ...any) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	for _, row := range append([]any{header}, rows...) {
		require.NoError(t, json.MarshalWrite(zip, row))
		_, err := zip.Write([]byte{'\n'})
		require.NoError(t, err)
	}
	require.NoError(t, zip.Close())
	return out.Bytes()
}

// row makes a row of a package.
func row(t testing.TB, kind imports.Kind, data any) imports.Row {
	t.Helper()
	body, err := json.Marshal(data)
	require.NoError(t, err)
	return imports.Row{Kind: kind, Data: body}
}

// complete is the header of a package that has all rows of all kinds.
func complete(source string) imports.Header {
	return imports.Header{Source: source, Complete: []imports.Kind{
		imports.KindClass, imports.KindStudent, imports.KindStaff, imports.KindLink,
		imports.KindAttending, imports.KindTeaching,
	}}
}

// requireOneContentOfEachID reads the log: what a crash repeated is the same as what it repeats.
func (s *stack) requireOneContentOfEachID() {
	s.t.Helper()
	_, end, err := s.log.Bounds(s.t.Context(), 0)
	require.NoError(s.t, err)
	contents, repeated := map[string]string{}, 0
	for next := int64(0); next < end; {
		batch, err := s.log.Fetch(s.t.Context(), 0, next, 1<<20, 0)
		require.NoError(s.t, err)
		for _, record := range batch.Records {
			e, err := cloudevents.Decode(record)
			require.NoError(s.t, err)
			e.Position = domain.Position{}
			content, err := cloudevents.AppendStructured(nil, e)
			require.NoError(s.t, err)
			if was, ok := contents[e.Source+" "+e.ID]; ok {
				repeated++
				require.Equal(s.t, was, string(content))
			}
			contents[e.Source+" "+e.ID] = string(content)
		}
		next = batch.Next
	}
	require.NotZero(s.t, repeated, "the crash repeated something")
}
