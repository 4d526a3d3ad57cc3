package knowledge_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/knowledge"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
)

func TestMain(m *testing.M) { devtest.Main(m) }

const (
	set    = "analytics"
	school = "north"
)

// year is a simulated one, and what it does not have: remarks, money that comes before its invoice, and mistakes.
func year() []*domain.Envelope {
	var events []*domain.Envelope
	for e := range (&simulate.Config{Schools: 1, Students: 40, Days: 75, Seed: 5}).Events() {
		e.School = school
		events = append(events, e)
	}
	student := ""
	for _, e := range events {
		if s, ok := e.Data.(*assessment.Scored); ok {
			student = s.StudentID
		}
	}
	at := time.Date(2027, 3, 1, 9, 30, 0, 123456789, time.UTC)
	for i, data := range []domain.Event{
		&assessment.Remarked{StudentID: student, ClassID: "c", Year: "y", Term: "t", Text: "wrong"},
		&assessment.Remarked{StudentID: student, ClassID: "c", Year: "y", Term: "t", Text: "right"},
		&assessment.Remarked{StudentID: student, ClassID: "c", Year: "y", Term: "t", SubjectName: "art", Text: "well drawn"},
		&assessment.Remarked{StudentID: student, ClassID: "c", Year: "y", Term: "t", SubjectName: "music", Text: "taken back"},
		&assessment.Remarked{StudentID: student, ClassID: "c", Year: "y", Term: "t", SubjectName: "music"},
		&assessment.Scored{AssessmentID: "unannounced", StudentID: student, ClassID: "c", SubjectName: "art", Score: 1, MaxScore: 3, Year: "y", Term: "t"},
		&assessment.ScoreCorrected{AssessmentID: "unannounced", StudentID: student, ClassID: "c", SubjectName: "art", Score: 2, MaxScore: 3, Year: "y", Term: "t"},
		&assessment.ResultsPublished{ClassID: "c", Year: "y", Term: "t"},
		&assessment.ResultsPublished{ClassID: "c", Year: "y", Term: "t"},
		&assessment.ResultsPublished{ClassID: "c", Year: "y", Term: "u", From: domain.NewDate(2027, 1, 1)},
		&fee.PaymentReversed{PaymentID: "early", Reason: "before it came"},
		&fee.PaymentReceived{PaymentID: "early", InvoiceID: "late", StudentID: student, Amount: 500, Currency: "EUR", Method: fee.Cash},
		&fee.PaymentReceived{PaymentID: "early", InvoiceID: "late", StudentID: student, Amount: 900, Currency: "EUR", Method: fee.Cash},
		&fee.Waived{InvoiceID: "late", Amount: 300, Reason: "before it came"},
		&fee.Waived{InvoiceID: "late", Amount: 200, Reason: "and once more"},
		&fee.PaymentReceived{PaymentID: "lost", InvoiceID: "never", StudentID: student, Amount: 5, Currency: "XOF", Method: fee.Bank},
		&fee.PaymentReversed{PaymentID: "lost", Reason: "returned"},
		&fee.PaymentReversed{PaymentID: "lost", Reason: "returned again"},
		&fee.Invoiced{InvoiceID: "late", StudentID: student, Year: "y", Term: "t", Category: "meals", Amount: 1000, Currency: "EUR", DueOn: domain.NewDate(2027, 4, 1)},
		&fee.Invoiced{InvoiceID: "late", StudentID: student, Year: "y", Term: "t", Category: "meals", Amount: 2000, Currency: "EUR", DueOn: domain.NewDate(2027, 5, 1)},
	} {
		events = append(events, &domain.Envelope{
			ID: fmt.Sprint("extra-", i), Source: "test", School: school, Time: at.Add(time.Duration(i) * time.Hour), Data: data,
		})
	}
	return events
}

// TestTablesAndHistoryKnowTheSame asks everything about everybody, of the tables and of the history that the log's events
// make in memory.
func TestTablesAndHistoryKnowTheSame(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	projector := devtest.Pool(t, url, postgres.Projector)
	jobs := devtest.Pool(t, url, postgres.Jobs)

	log, history := memlog.New(1), knowledge.NewHistory()
	var records []eventlog.Record
	for _, e := range year() {
		rec, err := cloudevents.Encode(e)
		require.NoError(t, err)
		records = append(records, rec)
	}
	_, err := log.Append(t.Context(), school, records)
	require.NoError(t, err)
	batch, err := log.Fetch(t.Context(), 0, 0, 1<<30, 0)
	require.NoError(t, err)
	questions := newQuestions()
	for _, rec := range batch.Records {
		e, err := cloudevents.Decode(rec)
		require.NoError(t, err)
		history.Add(e)
		questions.about(e.Data)
	}

	projected, err := projections.NewSet(catalog.All()...)
	require.NoError(t, err)
	engine, err := projections.NewEngine(projections.Config{
		Name: set, Set: projected, Log: log, Group: log, Store: postgres.NewProjectionStore(projector, projected, set), Decode: cloudevents.Decode,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	var tables consumers.Snapshot
	require.Eventually(t, func() bool {
		tables, err = knowledge.New(jobs, set).Snapshot(t.Context())
		require.NoError(t, err)
		next, err := tables.Next(t.Context(), 0)
		require.NoError(t, err)
		if next < int64(len(records)) {
			tables.Close()
		}
		return next == int64(len(records))
	}, time.Minute, 20*time.Millisecond)
	defer tables.Close()

	asked := questions.ask()
	inTables, inMemory := make([]*consumers.Question, len(asked)), make([]*consumers.Question, len(asked))
	for i, a := range asked {
		inTables[i], inMemory[i] = &consumers.Question{Asked: a}, &consumers.Question{Asked: a}
	}
	require.NoError(t, tables.Answer(t.Context(), inTables))
	require.NoError(t, history.Answer(t.Context(), inMemory))
	answered := map[consumers.QuestionKind]int{}
	for i, a := range asked {
		require.Empty(t, cmp.Diff(inMemory[i].Answer, inTables[i].Answer, cmpopts.EquateEmpty()), "%+v: in memory −, in the tables +", a)
		if v := reflect.ValueOf(inTables[i].Answer); v.Kind() == reflect.Slice && v.Len() > 0 || v.Kind() != reflect.Slice && !v.IsZero() {
			answered[a.Kind]++
		}
	}
	t.Logf("%d events, %d questions", len(records), len(asked))
	for kind := range consumers.Questions {
		require.NotZero(t, answered[kind], "nothing has an answer of kind %d", kind)
	}
}

// questions collects what can be asked about.
type questions struct {
	ids     map[string]bool // of anything
	classes map[string]bool
	terms   map[[2]domain.Label]bool
}

func newQuestions() *questions {
	return &questions{map[string]bool{"nobody": true}, map[string]bool{}, map[[2]domain.Label]bool{{"no", "time"}: true}}
}

// about takes the ids and terms out of an event's fields.
func (q *questions) about(data domain.Event) {
	v := reflect.ValueOf(data).Elem()
	text := func(name string) string {
		if f := v.FieldByName(name); f.IsValid() {
			return f.String()
		}
		return ""
	}
	for _, name := range []string{"StudentID", "GuardianID", "ClassID", "InvoiceID", "PaymentID"} {
		if id := text(name); id != "" {
			q.ids[id] = true
		}
	}
	if id := text("ClassID"); id != "" {
		q.classes[id] = true
	}
	if year, term := text("Year"), text("Term"); year != "" {
		q.terms[[2]domain.Label{domain.Label(year), domain.Label(term)}] = true
	}
}

// ask makes every question about everything, also where it makes no sense.
func (q *questions) ask() []consumers.Asked {
	var all []consumers.Asked
	add := func(a consumers.Asked) {
		a.School = school
		all = append(all, a)
	}
	for id := range q.ids {
		for kind := range consumers.Questions {
			a := consumers.Asked{Kind: kind, ID: id, ClassID: id}
			switch kind {
			case consumers.AskAttendanceWithin:
				a.From, a.To = domain.NewDate(2025, 9, 22), domain.NewDate(2025, 11, 10) // Mondays
				add(a)
				a.From, a.To = a.To, a.From
				add(a)
			case consumers.AskScores, consumers.AskRemarks, consumers.AskAverages, consumers.AskPublished:
				for term := range q.terms {
					a.Year, a.Term = term[0], term[1]
					add(a)
				}
			case consumers.AskRank:
				for term := range q.terms {
					for a.ClassID = range q.classes {
						a.Year, a.Term = term[0], term[1]
						add(a)
					}
				}
			default:
				add(a)
			}
		}
	}
	return all
}
