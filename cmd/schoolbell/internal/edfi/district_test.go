package edfi_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/facts"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/edfi"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/edfi/edfitest"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
	"github.com/schoolbell/schoolbell/consumers/provider/outbox"
	"github.com/schoolbell/schoolbell/consumers/router"
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
)

// The sample district that Ed-Fi publishes runs from its files through the log, the projections,
// the planners, the ledger and its jobs into the outbox, with texts about absences of any age. The
// expected texts are counted from the files independently.
func TestP5_TextsOfAWholeDistrict(t *testing.T) {
	t.Parallel()
	dir := edfitest.Dir(t)
	const set = "analytics"
	url, log := devtest.Postgres(t), memlog.New(1)
	jobs := devtest.Pool(t, url, postgres.Jobs)
	projected, err := projections.NewSet(catalog.All()...)
	require.NoError(t, err)
	folds, err := projections.NewEngine(projections.Config{
		Name: set, Set: projected, Log: log, Group: log, Decode: cloudevents.Decode,
		Store: postgres.NewProjectionStore(devtest.Pool(t, url, postgres.Projector),
			projected, set),
	})
	require.NoError(t, err)

	tables := devtest.Pool(t, url, postgres.API)
	positions := checkpoint.NewPositions(tables.Acquire, set)
	start(t, folds.Run)
	start(t, positions.Run)
	schools := importAll(t, dir, log, tables, positions, set)
	settings := ledger.NewSettings(jobs.Conns())
	for _, school := range schools {
		require.NoError(t, settings.SetFrom(t.Context(), &consumers.Settings{
			School: school, Rules: map[string]consumers.Rule{"absence": {MaxAge: -1}},
		}, "test", time.Unix(0, 0)))
	}

	catalog, err := wording.Open()
	require.NoError(t, err)
	deliveries, err := ledger.New(ledger.Config{
		Pool: jobs.Conns(), Encode: cloudevents.Encode, Log: log, Source: log, Decode: cloudevents.Decode,
		Providers: map[consumers.Channel]consumers.Provider{consumers.SMS: outbox.New(jobs.Conns(),
			provider.Writer{Catalog: catalog})},
	})
	require.NoError(t, err)
	planners, err := consumers.NewPlanners(plan.Planners()...)
	require.NoError(t, err)
	engine, err := consumers.NewEngine(consumers.Config{
		Planners: planners, Facts: facts.New(jobs, set).Snapshot, Settings: settings, Ledger: deliveries,
	})
	require.NoError(t, err)
	events, err := router.New(router.Config{
		Log: log, Topic: "events", Planner: engine,
		Positions:   checkpoint.NewGroups(jobs.Conns(), router.ErrFenced, nil),
		DeadLetters: deliveries.AddDeadLetter,
		Reader:      eventlog.NewReader(eventlog.ReaderConfig{Source: log, Decode: cloudevents.Decode}),
	})
	require.NoError(t, err)
	_, end, err := log.Bounds(t.Context(), 0)
	require.NoError(t, err)
	for _, run := range []func(context.Context) error{
		engine.Run, events.Run, deliveries.Run,
	} {
		start(t, run)
	}

	want, excused := edfitest.AbsenceTexts(t, dir)
	require.Eventually(t, func() bool {
		var at, waiting int64
		_ = jobs.Conns().QueryRow(t.Context(),
			`SELECT position FROM schoolbell.checkpoints WHERE set_name = 'consumers'`).Scan(&at)
		require.NoError(t,
			jobs.Conns().QueryRow(t.Context(),
				`SELECT count(*) FROM schoolbell.ledger WHERE state <> 'sent'`).Scan(&waiting))
		return at >= end && waiting == 0
	}, time.Minute, 50*time.Millisecond)
	rows, err := jobs.Conns().Query(t.Context(), `
		SELECT l.school, l.about, l.params ->> 'date' FROM schoolbell.outbox o JOIN schoolbell.ledger l ON l.id = o.delivery_id WHERE o.channel = 'sms'`)
	require.NoError(t, err)
	texts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[edfitest.Day])
	require.NoError(t, err)
	got := map[edfitest.Day]int{}
	for _, d := range texts {
		got[d]++
	}
	require.Equal(t, want, got)
	var total int
	require.NoError(t, jobs.Conns().QueryRow(t.Context(),
		`SELECT count(*) FROM schoolbell.outbox`).Scan(&total))
	require.Len(t, texts, total, "there is nothing else in the outbox")
	t.Logf("%d texts in the outbox, one for each unexcused absence of a student whose primary guardian has a telephone; none for %d excused ones", total, excused)
}

// importAll imports a district into a log, against the tables that follow it.
func importAll(
	t *testing.T, dir string, log *memlog.Log, tables *postgres.Pool, positions *checkpoint.Positions,
	set string,
) (schools []string) {
	t.Helper()
	im, err := edfi.Open(t.Context(), os.DirFS(dir), nil)
	require.NoError(t, err)
	packages, _, err := im.Packages(t.Context())
	require.NoError(t, err)
	service := imports.New(imports.Config{
		Writer:   ingest.Writer{Log: log, Limit: 10 * time.Second},
		Database: tables, Log: log, Partitions: 1, Set: set, Positions: positions,
		WaitLimit: time.Minute,
	})
	for school, packed := range packages {
		schools = append(schools, school)
		plan, err := service.Plan(t.Context(), school, "test", packed, false)
		require.NoError(t, err)
		for plan.State != imports.Applied {
			plan, err = service.Apply(t.Context(), school, imports.By{User: "test"}, plan.ID, nil)
			require.NoError(t, err)
		}
	}
	return schools
}

func start(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
}
