package students

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/projections"
)

// drawFacts draws dated facts of every kind that the directory has, about two things of each kind.
// All days and times are within a week, so that they meet and contradict each other.
func drawFacts(t *rapid.T) []*domain.Envelope {
	day := func() domain.Date {
		return domain.NewDate(2026, 9, 1+rapid.IntRange(0, 6).Draw(t, "day"))
	}
	one := func(of string, n int) string { return fmt.Sprint(of, rapid.IntRange(1, n).Draw(t, of)) }
	yes := rapid.Bool()
	facts := []func() domain.Event{
		func() domain.Event {
			return &student.Enrolled{
				StudentID: one("s", 2), GivenName: "Ada", FamilyName: "King", ClassID: one("c", 3),
				On: day(),
			}
		},
		func() domain.Event {
			return &student.ClassChanged{StudentID: one("s", 2), ClassID: one("c", 3), On: day()}
		},
		func() domain.Event { return &student.Withdrawn{StudentID: one("s", 2), On: day()} },
		func() domain.Event {
			return &guardian.Linked{
				GuardianID: one("g", 2), StudentID: one("s", 2), Name: "G", Relation: one("r", 2),
				Primary: yes.Draw(t, "primary"),
			}
		},
		func() domain.Event {
			u := &guardian.Unlinked{GuardianID: one("g", 2), StudentID: one("s", 2)}
			if yes.Draw(t, "dated") {
				u.On = day()
			}
			return u
		},
		func() domain.Event {
			return &staff.Assigned{
				StaffID: one("t", 2), Name: "T", Role: "teacher",
				ClassIDs: []string{"c1", "c2", "c3"}[:rapid.IntRange(0, 3).Draw(t, "classes")],
			}
		},
		func() domain.Event { return &staff.Left{StaffID: one("t", 2), On: day()} },
		func() domain.Event {
			return &class.Defined{ClassID: one("c", 2), Title: "C", Kind: class.Home}
		},
		func() domain.Event { return &class.Closed{ClassID: one("c", 2), On: day()} },
		func() domain.Event {
			return &membership.Started{
				MembershipID: one("m", 2), ClassID: one("c", 2), PersonID: one("p", 2),
				Role: membership.Student, Primary: yes.Draw(t, "primary"), From: day(),
			}
		},
		func() domain.Event { return &membership.Ended{MembershipID: one("m", 2), To: day()} },
	}
	// A run of few kinds says much of the same thing.
	facts = rapid.Permutation(facts).Draw(t, "facts")[:rapid.IntRange(1, len(facts)).Draw(t, "kinds")]
	events := make([]*domain.Envelope, rapid.IntRange(1, 16).Draw(t, "events"))
	for i := range events {
		data := rapid.SampledFrom(facts).Draw(t, "fact")()
		events[i] = &domain.Envelope{
			ID: fmt.Sprint("e", i), Source: rapid.SampledFrom([]string{"/a", "/b"}).Draw(t, "source"),
			School: "oak", Subject: data.Subject(), Data: data,
			Time: time.Date(2026, 9, 2+rapid.IntRange(0, 5).Draw(t, "time"),
				rapid.SampledFrom([]int{0, 13}).Draw(t, "hour"), 0, 0, 0, time.UTC),
		}
	}
	return events
}

// fold returns the tables that events lead to when they arrive in their order.
func fold(t require.TestingT, events []*domain.Envelope) projections.Dump {
	set, err := projections.NewSet(Projection)
	require.NoError(t, err)
	plain := projections.NewReference(set, nil, 1, 0)
	for i, e := range events {
		arrived := *e
		arrived.Position.Offset = int64(i)
		require.NoError(t, plain.Fold(&arrived))
	}
	d, err := plain.Dump()
	require.NoError(t, err)
	return d
}

// rowsOf returns some columns of a table's rows, by key.
func rowsOf(d projections.Dump, table *projections.Schema, names ...string) map[string][]string {
	rows := map[string][]string{}
	for key, row := range d[table.Name] {
		for i, column := range table.Columns {
			if slices.Contains(names, column.Name) {
				rows[key] = append(rows[key], row[i])
			}
		}
	}
	return rows
}

func TestP8_AnyOrderOfArrivalGivesTheSameDirectory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := drawFacts(t)
		one := fold(t, events)
		other := fold(t, rapid.Permutation(events).Draw(t, "order of arrival"))
		for _, table := range []*projections.Schema{
			enrolments.Schema(), memberships.Schema(), links.Schema(), assignments.Schema(),
			histories.Schema(),
		} {
			require.Equal(t, one[table.Name], other[table.Name])
		}
		for table, columns := range map[*projections.Schema][]string{
			students.Schema(): {"class_id", "first_on", "left_on"},
			classes.Schema():  {"closed_on"}, members.Schema(): {"left_on"},
		} {
			require.Equal(t, rowsOf(one, table, columns...), rowsOf(other, table, columns...), table.Name)
		}
	})
}

// saying is what a fact says, and of what: of which table's spans, and of which key without its day.
// What holds is one text, as [holding] reads it from the tables.
func saying(t require.TestingT, e *domain.Envelope) (table, key string, s statement) {
	say := func(k kind, on domain.Date, columns ...any) statement {
		text, err := json.Marshal(columns)
		require.NoError(t, err)
		return said(e, k, on, place{Class: string(text)})
	}
	switch m := e.Data.(type) {
	case *student.Enrolled:
		return "enrolments", m.StudentID, say(starts, m.On, m.ClassID)
	case *student.ClassChanged:
		return "enrolments", m.StudentID, say(changes, m.On, m.ClassID)
	case *student.Withdrawn:
		return "enrolments", m.StudentID, say(ends, m.On)
	case *guardian.Linked:
		return "student_guardians", m.StudentID + " | " + m.GuardianID,
			say(starts, dayOf(e.Time), m.Relation, m.Primary)
	case *guardian.Unlinked:
		on := m.On
		if on.IsZero() {
			on = dayOf(e.Time)
		}
		return "student_guardians", m.StudentID + " | " + m.GuardianID, say(ends, on)
	case *staff.Assigned:
		return "assignments", m.StaffID, say(starts, dayOf(e.Time), m.ClassIDs)
	case *staff.Left:
		return "assignments", m.StaffID, say(ends, m.On)
	case *membership.Started:
		return "memberships", m.MembershipID,
			say(starts, m.From, m.ClassID, m.PersonID, m.Role, m.Primary)
	case *membership.Ended:
		return "memberships", m.MembershipID, say(ends, m.To)
	case *class.Defined:
		return "classes", m.ClassID, say(starts, dayOf(e.Time))
	case *class.Closed:
		return "classes", m.ClassID, say(ends, m.On)
	}
	panic("no dated fact")
}

// spanTables are the tables whose rows hold from a day to another one, with the columns of what holds.
var spanTables = map[*projections.Schema][]string{
	enrolments.Schema():  {"class_id"},
	links.Schema():       {"relation", "is_primary"},
	assignments.Schema(): {"class_ids"},
	memberships.Schema(): {"class_id", "person_id", "role", "is_primary"},
}

// holding returns what holds on a day by a table, by key.
func holding(d projections.Dump, table *projections.Schema, day domain.Date) map[string]string {
	of := map[string]string{}
	for _, row := range d[table.Name] {
		var columns []string
		from, to := "", ""
		for i, c := range table.Columns {
			switch {
			case c.Name == "starts":
				from = row[i]
			case c.Name == "ends":
				to = row[i]
			case !slices.Contains(spanTables[table], c.Name):
			case row[i] == "true" || row[i] == "false" || strings.HasPrefix(row[i], "["):
				columns = append(columns, row[i])
			default:
				columns = append(columns, strconv.Quote(row[i]))
			}
		}
		if key := strings.Join(row[1:table.Keys-1], " | "); from <= day.String() && (to > day.String() || to == open) {
			of[key] = "[" + strings.Join(columns, ",") + "]"
		}
	}
	return of
}

// Each table shows of each day what a calculation from the facts of the log alone shows, which goes
// through them day by day.
func TestP8_AsOfADayEqualsACalculationFromTheLog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := drawFacts(t)
		tables := fold(t, events)
		words := map[string]map[string][]statement{}
		for _, e := range events {
			table, key, s := saying(t, e)
			if words[table] == nil {
				words[table] = map[string][]statement{}
			}
			words[table][key] = append(words[table][key], s)
		}
		for day := firstDay; day < lastDay; day++ {
			for table := range spanTables {
				want := map[string]string{}
				for key, statements := range words[table.Name] {
					if what, holds := asOf(statements, day); holds {
						want[key] = what
					}
				}
				require.Equal(t, want, holding(tables, table, day), "%s on %s", table.Name, day)
			}
		}
		// Classes and staff hold before anything was said of them; their rows say when that is over.
		for table, column := range map[*projections.Schema]string{
			classes.Schema(): "closed_on", members.Schema(): "left_on",
		} {
			facts := words["assignments"]
			if table == classes.Schema() {
				facts = words["classes"]
			}
			for key, row := range rowsOf(tables, table, column) {
				before := statement{On: firstDay, Kind: starts}
				_, holds := asOf(append(facts[strings.TrimPrefix(key, "oak | ")], before), lastDay)
				require.Equal(t, holds, row[0] == open, "%s of %s: %s", column, key, row[0])
			}
		}
	})
}

// open is how a dump shows a day that is not there.
const open = ""
