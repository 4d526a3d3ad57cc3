package ledger_test

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/router"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// noFacts is a snapshot that includes every event, and no facts.
func noFacts(context.Context) (*consumers.Snapshot, error) {
	return &consumers.Snapshot{
		Next: func(int32) int64 { return math.MaxInt64 }, Close: func() {},
	}, nil
}

// textEach plans a text about every mark, to a telephone number of its own.
var textEach = consumers.Planner{
	Name: "absence", Types: []string{attendance.TypeMarked},
	Plan: func(e *domain.Envelope, _ consumers.Facts, _ *consumers.Settings) []consumers.Delivery {
		m, ok := e.Data.(*attendance.Marked)
		if !ok {
			return nil
		}
		n, _ := strconv.Atoi(strings.TrimPrefix(m.StudentID, "st"))
		return []consumers.Delivery{{
			Recipient: "g" + strconv.Itoa(n), Channel: consumers.SMS, Address: fmt.Sprintf("+1512%07d", n), Priority: consumers.Priority(1 + n%4),
			Template: wording.Absence, Language: "en",
			Params: wording.Params{Sender: "Oak", Student: "Student " + strconv.Itoa(n), Date: m.Date, Session: m.Session}.Encode(),
		}}
	},
}

// runWithPlanners plans the events in the log and executes the deliveries.
func runWithPlanners(ctx context.Context, pool *postgres.Pool, log *kafka.Log, l *ledger.Ledger) error {
	planners, err := consumers.NewPlanners(textEach)
	if err != nil {
		return err
	}
	engine, err := consumers.NewEngine(consumers.Config{
		Planners: planners, Facts: noFacts, Settings: ledger.NewSettings(pool.Conns()), Ledger: l,
	})
	if err != nil {
		return err
	}
	topic, err := log.Topic(ctx)
	if err != nil {
		return err
	}
	events, err := router.New(router.Config{
		Log: log, Topic: topic.Name, Positions: checkpoint.NewGroups(pool.Conns(), router.ErrFenced, nil), Planner: engine, DeadLetters: l.AddDeadLetter,
		Reader: eventlog.NewReader(eventlog.ReaderConfig{Source: log, Decode: cloudevents.Decode}),
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{engine.Run, events.Run, l.Run} {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}

// appendMarks writes n events of ten schools.
func appendMarks(t *testing.T, log *kafka.Log, n int) {
	t.Helper()
	bySchool := map[string][]eventlog.Record{}
	for i := range n {
		school := "s" + strconv.Itoa(i%10)
		rec, err := cloudevents.Encode(&domain.Envelope{
			ID: "e" + strconv.Itoa(i), Source: "test", School: school, Time: time.Now(),
			Data: &attendance.Marked{StudentID: "st" + strconv.Itoa(i), ClassID: "c1", Date: domain.NewDate(2026, 9, 1), Session: "day", Status: attendance.AbsentUnexcused},
		})
		require.NoError(t, err)
		bySchool[school] = append(bySchool[school], rec)
	}
	for school, records := range bySchool {
		for len(records) > 0 {
			some := min(len(records), 1000)
			_, err := log.Append(t.Context(), school, records[:some])
			require.NoError(t, err)
			records = records[some:]
		}
	}
}
