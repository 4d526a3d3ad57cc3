// Package projtest tests read models by scenarios: text files that say which events are given, what
// happens then, what the tables look like, and what queries of them return.
//
//	given            folds events
//	when             folds events and prints the rows that have changed
//	tables [name…]   prints tables
//	query [today=…]  sends a GET below /v1/schools/{school} and prints the result
//
// An event is one line: its type without its frame, and its data. Its school is oak unless @school
// says otherwise, its position the next one unless @position does, as for an event that was parked
// and is folded late. @id, @cause and @time give it the attributes of these names. Lists of objects
// are JSON with single quotation marks.
//
//	attendance.marked student_id=ana class_id=7A date=2026-09-01 session=day status=present
//
// A range of dates, date=2026-09-01..2026-09-30, stands for an event on each day from Monday to Friday.
//
// [FoldsAlike] is the other half: it folds events drawn from the catalogue in many ways and compares the
// tables. Scenarios show what a read model does; FoldsAlike shows that batching, crashes and parking
// change nothing. draw.go is where the drawn data is decided.
package projtest

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/internal/golden"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
)

// Run runs the scenarios of a folder, each on tables of its own.
func Run(
	t *testing.T, folder string, endpoints []query.Endpoint, members ...*projections.Projection,
) {
	t.Helper()
	set, err := projections.NewSet(members...)
	require.NoError(t, err)
	golden.Walk(t, folder, func(t *testing.T, path string) {
		s := &scenario{t: t, set: set, endpoints: endpoints, batch: projections.NewBatch(set, true)}
		golden.Run(t, path, s.run)
	})
}

type scenario struct {
	t         *testing.T
	set       *projections.Set
	endpoints []query.Endpoint
	batch     *projections.Batch
	next      int64
	tables    tables
	database  *database
}

func (s *scenario) run(t *testing.T, d *datadriven.TestData) string {
	s.t = t
	switch d.Cmd {
	case "given":
		failures, _ := s.fold(d.Input)
		return failures
	case "when":
		failures, changed := s.fold(d.Input)
		return failures + changed.print(nil)
	case "tables":
		var names []string
		for _, a := range d.CmdArgs {
			names = append(names, a.Key)
		}
		return s.tables.print(names)
	case "query":
		return s.query(d)
	default:
		t.Fatalf("%s: command %q is none of given, when, tables and query", d.Pos, d.Cmd)
		return ""
	}
}

// fold folds a line each as an event. Errors are for the reader, in the place of tables.
func (s *scenario) fold(input string) (failures string, changed tables) {
	for text := range strings.SplitSeq(input, "\n") {
		if text = strings.TrimSpace(text); text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		days, err := EachDay(text)
		require.NoError(s.t, err)
		for _, one := range days {
			outcome, err := s.batch.Fold(s.event(one))
			switch outcome {
			case projections.Missing:
				s.t.Fatal("a row must be looked up, although the batch is complete")
			case projections.Failed:
				failures += "error: " + err.Error() + "\n"
			}
		}
	}
	sets, _ := s.batch.Take(1 << 30)
	for _, rows := range sets {
		changed.take(s.t, rows)
		s.tables.take(s.t, rows)
	}
	return failures, changed
}

// EachDay writes an event with a range of dates as one for each day.
func EachDay(text string) (all []string, err error) {
	before, rest, isRange := strings.Cut(text, " date=")
	dates, after, _ := strings.Cut(rest, " ")
	from, to, isBoth := strings.Cut(dates, "..")
	if !isRange || !isBoth {
		return []string{text}, nil
	}
	first, err := domain.ParseDate(from)
	if err != nil {
		return nil, err
	}
	last, err := domain.ParseDate(to)
	for day := first; day <= last; day++ {
		if w := day.Weekday(); w != time.Saturday && w != time.Sunday {
			all = append(all, before+" date="+day.String()+" "+after)
		}
	}
	return all, err
}

func (s *scenario) event(text string) *domain.Envelope {
	e, err := ParseEvent(text)
	require.NoError(s.t, err)
	if e.Position.Offset < 0 {
		e.Position.Offset = s.next
	}
	s.next = max(s.next, e.Position.Offset) + 1
	return e
}

// ParseEvent reads an event as scenarios write it. Without @position its offset is -1.
func ParseEvent(text string) (*domain.Envelope, error) {
	words := split(text)
	fact, ok := newest("schoolbell." + words[0] + ".v")
	if !ok {
		return nil, fmt.Errorf("event %q: no such type", words[0])
	}
	e := &domain.Envelope{
		Type: fact.Type, School: "oak", Data: fact.New(),
		Position: domain.Position{Offset: -1}, Time: time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC),
	}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "@school":
			e.School = value
		case "@id":
			e.ID = value
		case "@cause":
			e.CausationID = value
		case "@position":
			e.Position.Offset, err = strconv.ParseInt(value, 10, 64)
		case "@time":
			e.Time, err = time.Parse(time.RFC3339, value)
		default:
			err = set(e.Data, name, value)
		}
		if err != nil {
			return nil, fmt.Errorf("event %q: %s: %w", words[0], word, err)
		}
	}
	var faults domain.Faults
	e.Data.Validate(&faults)
	return e, faults.Err()
}

func newest(prefix string) (*domain.Fact, bool) {
	var found *domain.Fact
	for i, f := range catalog.Facts() {
		if strings.HasPrefix(f.Type, prefix) && f.Upcast == nil {
			found = &catalog.Facts()[i]
		}
	}
	return found, found != nil
}

// split cuts a line at spaces, but not within quotation marks, which it removes.
func split(text string) []string {
	var words []string
	var word strings.Builder
	quoted := false
	for _, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted:
			if word.Len() > 0 {
				words = append(words, word.String())
				word.Reset()
			}
		default:
			word.WriteRune(r)
		}
	}
	return append(words, word.String())
}

// set writes a field of an event's data by its name in JSON.
func set(data domain.Event, name, value string) error {
	v := reflect.ValueOf(data).Elem()
	for i := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tag != name {
			continue
		}
		field := v.Field(i)
		if _, ok := domain.ChangeOf(field.Type()); ok {
			field.Field(0).SetBool(true)
			if field = field.Field(1); value == "null" {
				return nil
			}
		}
		switch field.Interface().(type) {
		case string, domain.Label, domain.Date:
			quoted, err := json.Marshal(value)
			if err != nil {
				return err
			}
			return json.Unmarshal(quoted, field.Addr().Interface())
		case []string:
			if value != "" {
				field.Set(reflect.ValueOf(strings.Split(value, ",")))
			}
			return nil
		}
		return json.Unmarshal([]byte(strings.ReplaceAll(value, "'", `"`)), field.Addr().Interface())
	}
	return fmt.Errorf("no such field")
}
