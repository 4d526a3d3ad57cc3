package facts_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/facts"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/verify"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/projtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

const (
	set    = "analytics"
	school = "north"
	one    = domain.DecimalUnit
)

// year is a simulated one, and what it does not have: remarks, money that comes before its invoice,
// and mistakes.
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
		&assessment.Scored{AssessmentID: "unannounced", StudentID: student, ClassID: "c", SubjectName: "art", Score: one, MaxScore: 3 * one, Year: "y", Term: "t"},
		&assessment.ScoreCorrected{AssessmentID: "unannounced", StudentID: student, ClassID: "c", SubjectName: "art", Score: 2 * one, MaxScore: 3 * one, Year: "y", Term: "t"},
		&assessment.Scored{AssessmentID: "unannounced", StudentID: student, ClassID: "d", SubjectName: "music", Score: 0, MaxScore: 3 * one, Year: "y", Term: "u"},
		&assessment.Scored{AssessmentID: "unannounced", StudentID: student, ClassID: "c", SubjectName: "art", Score: 3 * one, MaxScore: 3 * one, Year: "y", Term: "t", Attempt: 2, Category: "quiz"},
		&assessment.Unscored{AssessmentID: "unannounced", StudentID: student, ClassID: "c", SubjectName: "art", Status: assessment.Absent, Year: "y", Term: "t", Attempt: 3},
		&assessment.ResultsPublished{ClassID: "c", Year: "y", Term: "t"},
		&assessment.ResultsPublished{ClassID: "c", Year: "y", Term: "t"},
		&assessment.ResultsPublished{ClassID: "c", Year: "y", Term: "u", From: domain.NewDate(2027, 1, 1)},
		&fee.PaymentReversed{PaymentID: "early", Reason: "before it came"},
		&fee.PaymentReceived{PaymentID: "early", InvoiceID: "late", StudentID: student, Amount: 500, Currency: "EUR", Method: fee.Cash},
		&fee.PaymentReceived{PaymentID: "early", InvoiceID: "late", StudentID: student, Amount: 900, Currency: "EUR", Method: fee.Cash},
		&fee.Waived{WaiverID: "w1", InvoiceID: "late", Amount: 300, Reason: "before it came"},
		&fee.Waived{WaiverID: "w2", InvoiceID: "late", Amount: 200, Reason: "and once more"},
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
	return append(events, drawn()...)
}

// drawn are facts of the directory and of fees in any order, about a few ids and days, so that they
// contradict each other in all ways.
func drawn() (events []*domain.Envelope) {
	for i, e := range projtest.Events(7, 4000) {
		context, _, _, err := domain.SplitType(e.Type)
		if err != nil || !slices.Contains([]string{"student", "guardian", "staff", "class", "membership", "fee"}, context) {
			continue
		}
		e.School, e.Source, e.ID, e.Position = school, "drawn", fmt.Sprint("drawn-", i), domain.Position{}
		e.Time = time.Date(2026, 9, 1+i%14, i%3, 0, 0, 0, time.UTC)
		events = append(events, e)
	}
	return append(events, marksOfSections(events)...)
}

// marksOfSections are scores of the students of some events in classes that are sections, and in one
// that was a section until it was defined as a home class. Half of the assessments are announced.
func marksOfSections(of []*domain.Envelope) (events []*domain.Envelope) {
	add := func(i int, data domain.Event) {
		events = append(events, &domain.Envelope{
			ID: fmt.Sprint("section-", len(events)), Source: "drawn", School: school, Data: data,
			Time: time.Date(2026, 9, 1+i%14, 23, 59, 59, 0, time.UTC),
		})
	}
	for i, e := range of {
		enrolled, ok := e.Data.(*student.Enrolled)
		if !ok {
			continue
		}
		section, id := fmt.Sprint("section-", i%3), fmt.Sprint("assessment-", i)
		add(i, &class.Defined{ClassID: section, Title: "Section", Kind: class.Section})
		if i%2 == 0 {
			add(i, &assessment.Scheduled{
				AssessmentID: id, ClassID: section, SubjectName: "maths", Title: "Quiz", MaxScore: 10 * one,
				On: domain.NewDate(2026, 9, 1+i*7%14), Year: "y", Term: "t",
			})
		}
		add(i, &assessment.Scored{
			AssessmentID: id, StudentID: enrolled.StudentID, ClassID: section, SubjectName: "maths",
			Score: domain.Decimal(i%11) * one, MaxScore: 10 * one, Year: "y", Term: "t",
		})
	}
	add(0, &class.Defined{ClassID: "section-2", Title: "Class", Kind: class.Home})
	return events
}

// TestTablesAndHistoryHoldTheSameFacts looks everything up in the tables and in the history that
// package verify folds from the same events in memory.
func TestTablesAndHistoryHoldTheSameFacts(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	projector := devtest.Pool(t, url, postgres.Projector)
	jobs := devtest.Pool(t, url, postgres.Jobs)

	log, history := memlog.New(1), verify.NewHistory()
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
	keys := newKeys()
	for _, rec := range batch.Records {
		e, err := cloudevents.Decode(rec)
		require.NoError(t, err)
		history.Add(e)
		keys.add(e.Data)
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
	var tables *consumers.Snapshot
	require.Eventually(t, func() bool {
		tables, err = facts.New(jobs, set).Snapshot(t.Context())
		require.NoError(t, err)
		if tables.Next(0) < int64(len(records)) {
			tables.Close()
			return false
		}
		return true
	}, time.Minute, 20*time.Millisecond)
	defer tables.Close()
	compare(t, keys, history.Snapshot().Lookups, tables.Lookups)
}

// compare looks up everything that there are keys for in both. It takes the lookups from the struct
// itself, so none can be forgotten.
func compare(t *testing.T, keys *keys, inMemory, inTables consumers.Lookups) {
	memory, table := reflect.ValueOf(inMemory), reflect.ValueOf(inTables)
	for i := range memory.NumField() {
		name := memory.Type().Field(i).Name
		lookUp := func(of reflect.Value, keys reflect.Value) reflect.Value {
			out := of.Field(i).Call([]reflect.Value{reflect.ValueOf(t.Context()), keys})
			require.True(t, out[1].IsNil(), "%s: %v", name, out[1])
			return out[0]
		}
		all := keys.of(memory.Field(i).Type().In(1))
		want, got := lookUp(memory, all), lookUp(table, all)
		found := 0
		for n := range all.Len() {
			require.Empty(t, cmp.Diff(want.Index(n).Interface(), got.Index(n).Interface(), cmpopts.EquateEmpty()),
				"%s of %+v: in memory −, in the tables +", name, all.Index(n))
			if v := got.Index(n); v.Kind() == reflect.Slice && v.Len() > 0 || v.Kind() != reflect.Slice && !v.IsZero() {
				found++
			}
		}
		t.Logf("%s: %d keys, %d with facts", name, all.Len(), found)
		require.NotZero(t, found, "no facts of the kind %s", name)
	}
}

// days are those as of which the directory is looked up: of the simulated year, before, between
// and after those of the drawn events, and after all.
var days = []domain.Date{
	domain.NewDate(2024, 1, 1), domain.NewDate(2025, 10, 1), domain.NewDate(2026, 9, 1),
	domain.NewDate(2026, 9, 4), domain.NewDate(2026, 9, 8), domain.NewDate(2026, 9, 13),
	domain.NewDate(2027, 6, 1),
}

// keys collects what can be looked up.
type keys struct {
	ids   map[string]bool // of anything
	terms map[[2]domain.Label]bool
}

func newKeys() *keys {
	return &keys{
		map[string]bool{"missing": true}, map[[2]domain.Label]bool{{"no", "time"}: true},
	}
}

// add takes the ids and terms out of an event's fields.
func (k *keys) add(data domain.Event) {
	v := reflect.ValueOf(data).Elem()
	text := func(name string) string {
		if f := v.FieldByName(name); f.IsValid() {
			return f.String()
		}
		return ""
	}
	for _, name := range []string{"StudentID", "GuardianID", "StaffID", "ClassID", "InvoiceID", "PaymentID"} {
		if id := text(name); id != "" {
			k.ids[id] = true
		}
	}
	if year, term := text("Year"), text("Term"); year != "" {
		k.terms[[2]domain.Label{domain.Label(year), domain.Label(term)}] = true
	}
}

// of makes all keys of a type, given as a slice, even where they make no sense: an invoice's id as
// that of a student.
func (k *keys) of(slice reflect.Type) reflect.Value {
	all := reflect.MakeSlice(slice, 0, 0)
	add := func(key any) { all = reflect.Append(all, reflect.ValueOf(key)) }
	for id := range k.ids {
		key := consumers.Key{School: school, ID: id}
		switch reflect.Zero(slice.Elem()).Interface().(type) {
		case consumers.Key:
			add(key)
		case consumers.DayKey:
			for _, on := range days {
				add(consumers.DayKey{Key: key, On: on})
			}
		case consumers.PeriodKey:
			from, to := domain.NewDate(2025, 9, 22), domain.NewDate(2025, 11, 10) // Mondays
			add(consumers.PeriodKey{Key: key, From: from, To: to})
			add(consumers.PeriodKey{Key: key, From: to, To: from})
		case consumers.YearKey:
			for term := range k.terms {
				add(consumers.YearKey{Key: key, Year: term[0]})
			}
		case consumers.TermKey:
			for term := range k.terms {
				add(consumers.TermKey{Key: key, Year: term[0], Term: term[1]})
			}
		default:
			panic("no keys of type " + slice.Elem().String())
		}
	}
	return all
}
