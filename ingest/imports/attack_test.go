package imports_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/ingest/imports"
)

// An export of last year has the same students, and says that they have left.
func testLeft(t *testing.T, s *stack, school string) {
	s.apply(school, pack(t, complete("sis"), pupils(t, 20)...), false)
	var rows []any
	for i := range 20 {
		one := imports.Student{
			StudentID: fmt.Sprint("s", i), GivenName: "Ana", FamilyName: "Ruiz", ClassID: "7a",
			On: today().AddDays(-300),
		}
		if i < 3 {
			one.LeftOn = today().AddDays(-100)
		}
		rows = append(rows, row(t, imports.KindStudent, one))
	}
	service := s.imports(s.log)
	plan, err := service.Plan(t.Context(), school, "office", pack(t, complete("sis"), rows...), false)
	require.NoError(t, err)
	want := []imports.Ask{{
		Consent: "withdraw", Count: 3, Held: 20, Reason: "it is more than 10 % of them",
	}}
	require.Equal(t, want, plan.Asks)
	_, err = service.Apply(t.Context(), school, imports.By{User: "office"}, plan.ID, nil)
	var guard *imports.GuardError
	require.ErrorAs(t, err, &guard)
	require.Equal(t, want, guard.Asks)
}

// sections are classes with a teacher and students.
func sections(t *testing.T) (rows []any) {
	on := today().AddDays(-60)
	for i := range 2 {
		id := fmt.Sprint("c", i)
		rows = append(rows,
			row(t, imports.KindClass, imports.Class{ClassID: id, Title: id, Kind: class.Section}),
			row(t, imports.KindTeaching, imports.Membership{
				MembershipID: "t" + id, ClassID: id, PersonID: "t1", Role: membership.Teacher, From: on,
			}),
			row(t, imports.KindAttending, imports.Membership{
				MembershipID: "s" + id, ClassID: id, PersonID: "s1", Role: membership.Student, From: on,
			}))
	}
	return rows
}

// A converter says that it has all rows of all kinds, and a file was empty.
func testMissingKind(t *testing.T, s *stack, school string) {
	all := sections(t)
	s.apply(school, pack(t, complete("sis"), all...), false)
	for kind, consent := range map[imports.Kind]string{
		imports.KindClass: "close", imports.KindAttending: "drop", imports.KindTeaching: "release",
	} {
		var rows, fewer []any
		for _, one := range all {
			if one.(imports.Row).Kind != kind {
				rows = append(rows, one)
			} else if len(fewer) == 0 {
				fewer = append(fewer, one)
			}
		}
		service := s.imports(s.log)
		plan, err := service.Plan(t.Context(), school, "office",
			pack(t, complete("sis"), rows...), false)
		require.NoError(t, err)
		require.Equal(t, []imports.Ask{{
			Consent: consent, Count: 2, Held: 2,
			Reason: "the package has none, and says that these are all",
		}}, plan.Asks, kind)
		require.Contains(t, imports.ConsentNames(), consent)
		plan, err = service.Plan(t.Context(), school, "office",
			pack(t, complete("sis"), append(fewer, rows...)...), false)
		require.NoError(t, err)
		require.Empty(t, plan.Asks, "one of two classes may end")
		require.Equal(t, int64(1), plan.Rows[kind].Missing)
	}
}

// A row of which not even the kind can be read may be anybody's; one with a wrong role, of either
// kind of membership. A key that no row has protects like none.
func testUnreadable(t *testing.T, s *stack, school string) {
	all := append(sections(t), pupils(t, 20)...)
	s.apply(school, pack(t, complete("sis"), all...), false)
	plan := func(rows ...any) *imports.Plan {
		p, err := s.imports(s.log).Plan(t.Context(), school, "office",
			pack(t, complete("sis"), rows...), false)
		require.NoError(t, err)
		return p
	}
	without := func(id string) (rows []any) {
		for _, one := range all {
			if !strings.Contains(string(one.(imports.Row).Data), `_id":"`+id+`",`) {
				rows = append(rows, one)
			}
		}
		return rows
	}
	require.Empty(t, plan(without("s19")...).Asks)
	for name, bad := range map[string]imports.Row{
		"kind":         {Kind: "studnet", Data: []byte(`{"student_id":"s19"}`)},
		"refused kind": {Kind: "studnet", Refused: "its id cannot be read", Key: "s19"},
		"key":          {Kind: imports.KindStudent, Refused: "its id cannot be read", Key: " s19"},
	} {
		p := plan(append(without("s19"), bad)...)
		require.Len(t, p.Asks, 1, name)
		text, err := json.Marshal(p)
		require.NoError(t, err)
		require.NotContains(t, string(text), "studnet", name)
	}

	p := plan(append(without("tc0"), row(t, imports.KindAttending, imports.Membership{
		MembershipID: "tc0", ClassID: "c0", PersonID: "t1", Role: membership.Teacher, From: today(),
	}))...)
	require.Zero(t, p.Total, "its own row was refused")
	require.Equal(t, int64(1), p.Refused.Count())

	p = plan(append(all, imports.Row{
		Kind: imports.KindStudent, Data: []byte(`{"student_id": "s1", "Ana Ruiz": "12.3."}`),
	})...)
	require.Equal(t, "has a member that does not belong there", p.Refused[0].Reason)
}

// What a row says about its time may be a placeholder of the other system. The log would refuse the
// event, and the import could never be finished.
func testTimes(t *testing.T, s *stack, school string) {
	var rows []any
	for i, at := range []time.Time{
		{},
		time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC),
		time.Date(1900, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)),
		time.Now().AddDate(-5, 0, 0), time.Now().AddDate(5, 0, 0),
	} {
		for j, on := range []domain.Date{domain.NewDate(1900, 1, 1), today(), today().AddDays(366)} {
			r := row(t, imports.KindStudent, imports.Student{
				StudentID: fmt.Sprint("s", i, j), GivenName: "Ana", FamilyName: "Ruiz", ClassID: "7a",
				On: on,
			})
			r.Time = at
			rows = append(rows, r)
		}
	}
	plan := s.apply(school, pack(t, complete("sis"), rows...), false)
	require.Equal(t, int64(len(rows)), plan.Rows[imports.KindStudent].Added)
	require.Len(t, s.roster(school).Students, len(rows))
}

// What the package no longer has ends on the day on which it is imported, although nothing has
// happened since it was looked at.
func testAnotherDay(t *testing.T, s *stack, school string) {
	s.apply(school, pack(t, complete("sis"), pupils(t, 20)...), false)
	packed := pack(t, complete("sis"), pupils(t, 19)...)
	first, err := s.imports(s.log).Plan(t.Context(), school, "office", packed, false)
	require.NoError(t, err)
	later := s.imports(s.log)
	today := later.Today
	later.Today = func(ctx context.Context, school string) (domain.Date, error) {
		day, err := today(ctx, school)
		return day.AddDays(1), err
	}
	second, err := later.Plan(t.Context(), school, "office", packed, false)
	require.NoError(t, err)
	require.NotEqual(t, first.ID, second.ID)
	require.Equal(t, first.On.AddDays(1), second.On)
}
