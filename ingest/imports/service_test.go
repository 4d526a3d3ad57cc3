package imports_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/ingest/imports"
)

// pupil is a row of a student.
func pupil(t testing.TB, id, family string) imports.Row {
	return row(t, imports.KindStudent, imports.Student{
		StudentID: id, GivenName: "Ana", FamilyName: family, ClassID: "7a",
		On: today().AddDays(-60),
	})
}

func pupils(t testing.TB, n int) (rows []any) {
	for i := range n {
		rows = append(rows, pupil(t, fmt.Sprint("s", i), "Ruiz"))
	}
	return rows
}

// apply plans and applies a package, to whose ends everybody agrees.
func (s *stack) apply(school string, packed []byte, adopt bool) *imports.Plan {
	s.t.Helper()
	service := s.imports(s.log)
	plan, err := service.Plan(s.t.Context(), school, "office", packed, adopt)
	require.NoError(s.t, err)
	given := imports.Consents{}
	for _, ask := range plan.Asks {
		given[ask.Consent] = ask.Count
	}
	plan, err = service.Apply(s.t.Context(), school, imports.By{User: "office"}, plan.ID, given)
	require.NoError(s.t, err)
	require.Equal(s.t, imports.Applied, plan.State)
	return plan
}

func TestImports(t *testing.T) {
	s := newStack(t)
	for name, test := range map[string]func(*testing.T, *stack, string){
		"rows that moved are not written over": testMoved,
		"one import at a time":                 testOneAtATime,
		"other sources keep theirs":            testOtherSources,
		"marks follow the package":             testMarks,
		"refused rows protect":                 testRefused,
		"the guard names the number":           testGuard,
		"a plan is asked for once":             testSamePlan,
		"imports are counted":                  testMetrics,
		"who has left is asked for":            testLeft,
		"a kind that is missing whole":         testMissingKind,
		"rows that nobody can read protect":    testUnreadable,
		"times that cannot be":                 testTimes,
		"another day is another plan":          testAnotherDay,
		"cancelled in the middle":              testCancelled,
		"cancelled while it is written":        testCancelledWhileWriting,
		"two that begin at once":               testTwoAtOnce,
		"two requests for one import":          testTwoRequests,
		"an id with two meanings":              testAmbiguous,
		"sources leave each other theirs":      testSources,
		"a student changes hands":              testAdoption,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, &stack{t, s.log, s.tables, s.positions}, strings.ReplaceAll(name, " ", "-"))
		})
	}
}

func testMoved(t *testing.T, s *stack, school string) {
	service := s.imports(s.log)
	packed := pack(t, complete("sis"), pupils(t, 3)...)
	plan, err := service.Plan(t.Context(), school, "office", packed, false)
	require.NoError(t, err)

	s.publish(school, "sis", &student.Enrolled{
		StudentID: "s1", GivenName: "Ana", FamilyName: "Ruiz Castro", ClassID: "7a", On: today(),
	})
	_, err = service.Apply(t.Context(), school, imports.By{User: "office"}, plan.ID, nil)
	var moved *imports.MovedError
	require.ErrorAs(t, err, &moved)
	require.NotEqual(t, plan.ID, moved.Plan.ID)
	require.Equal(t, int64(1), moved.Plan.Rows[imports.KindStudent].Changed)
	require.Len(t, s.roster(school).Students, 1, "nothing was written")

	_, err = service.Apply(t.Context(), school, imports.By{User: "office"}, moved.Plan.ID, nil)
	require.NoError(t, err)
	require.Equal(t, "Ruiz", s.roster(school).Students["s1"].FamilyName)

	// What differs in nothing that the plan is about does not matter.
	plan, err = service.Plan(t.Context(), school, "office",
		pack(t, complete("sis"), pupils(t, 4)...), false)
	require.NoError(t, err)
	s.publish(school, "platform", &student.Withdrawn{StudentID: "nobody", On: today()})
	_, err = service.Apply(t.Context(), school, imports.By{User: "office"}, plan.ID, nil)
	require.NoError(t, err)
}

func testOneAtATime(t *testing.T, s *stack, school string) {
	log := &crashing{Log: s.log, left: 0, written: true}
	first, err := s.imports(log).Plan(t.Context(), school, "office",
		pack(t, complete("sis"), pupils(t, 3)...), false)
	require.NoError(t, err)
	_, err = s.imports(log).Apply(t.Context(), school, imports.By{User: "office"}, first.ID, nil)
	require.ErrorIs(t, err, errCrash)

	service := s.imports(s.log)
	for source, free := range map[string]bool{"sis": false, "library": true} {
		other, err := service.Plan(t.Context(), school, "office",
			pack(t, complete(source), pupil(t, source, "Ruiz")), false)
		require.NoError(t, err)
		_, err = service.Apply(t.Context(), school, imports.By{User: "office"}, other.ID, nil)
		var busy *imports.BusyError
		if free {
			require.NoError(t, err)
		} else {
			require.ErrorAs(t, err, &busy)
			require.Equal(t, first.ID, busy.ID)
		}
	}
	list, err := service.List(t.Context(), school, "office", 10, "")
	require.NoError(t, err)
	require.Len(t, list, 3)
	done, err := service.Apply(t.Context(), school, imports.By{User: "somebody else"}, first.ID, nil)
	require.NoError(t, err)
	require.Equal(t, imports.Applied, done.State)
	require.NotNil(t, done.AppliedAt)
	require.Equal(t, "office", done.AppliedBy)
	s.requireOneContentOfEachID()
	again, err := service.Apply(t.Context(), school, imports.By{User: "office"}, first.ID, nil)
	require.NoError(t, err)
	require.Equal(t, done.AppliedAt, again.AppliedAt, "it stays applied")
	_, err = service.Apply(t.Context(), "another-school", imports.By{User: "office"}, first.ID, nil)
	require.ErrorIs(t, err, imports.ErrUnknown)
}

func testOtherSources(t *testing.T, s *stack, school string) {
	s.publish(school, "platform",
		&student.Enrolled{StudentID: "o1", GivenName: "O", FamilyName: "One", ClassID: "7a", On: today()})
	packed := pack(t, complete("sis"), pupils(t, 2)...)
	plan := s.apply(school, packed, false)
	require.Equal(t, int64(1), plan.Rows[imports.KindStudent].Foreign)
	require.True(t, s.roster(school).Students["o1"].Holds)

	plan = s.apply(school, packed, true)
	require.Equal(t, int64(1), plan.Rows[imports.KindStudent].Missing)
	require.False(t, s.roster(school).Students["o1"].Holds)
}

// Of a mark that occurs twice the last row counts, and a correction is followed back and forth.
func testMarks(t *testing.T, s *stack, school string) {
	marks := func(statuses ...string) []byte {
		var rows []any
		for _, status := range statuses {
			rows = append(rows, row(t, imports.KindMark, imports.Mark{
				StudentID: "s1", ClassID: "7a", Date: today().AddDays(-3), Session: "day",
				Status: status, Reason: "as the office says",
			}))
		}
		return pack(t, imports.Header{Source: "sis"}, rows...)
	}
	for i, statuses := range [][]string{
		{attendance.AbsentUnexcused},
		{attendance.Late, attendance.AbsentExcused},
		{attendance.AbsentUnexcused},
		{attendance.Late, attendance.AbsentExcused},
	} {
		packed := marks(statuses...)
		plan := s.apply(school, packed, false)
		want := map[string]int64{attendance.TypeCorrected: 1}
		if i == 0 {
			want = map[string]int64{attendance.TypeMarked: 1}
		}
		require.Equal(t, want, plan.Events)
		s.roster(school) // is at the end of the log
		plan, err := s.imports(s.log).Plan(t.Context(), school, "office", packed, false)
		require.NoError(t, err)
		require.Zero(t, plan.Total)
	}
}

func testRefused(t *testing.T, s *stack, school string) {
	s.apply(school, pack(t, complete("sis"), pupils(t, 40)...), false)
	fewer := pupils(t, 38)
	bad := func(r imports.Row, data string) imports.Row {
		r.At, r.Data = "students.csv:40:1", []byte(data)
		return r
	}
	// s38 is protected by its own row, s39 ends: one of forty needs no consent.
	packed := pack(t, complete("sis"), append(fewer, bad(imports.Row{Kind: imports.KindStudent},
		`{"student_id": "s38", "given_name": "Ana", "family_name": "Ruiz", "class_id": "7a", "on": "Ana's first day"}`))...)
	plan, err := s.imports(s.log).Plan(t.Context(), school, "office", packed, false)
	require.NoError(t, err)
	require.Equal(t, int64(1), plan.Rows[imports.KindStudent].Missing)
	require.Empty(t, plan.Asks)
	require.Equal(t, imports.Refusals{{
		Kind: imports.KindStudent, Reason: "/on is not of the right form", Count: 1,
		At: []string{"students.csv:40:1"},
	}}, plan.Refused)

	// A row whose id cannot be read may be of either of them.
	packed = pack(t, complete("sis"), append(fewer, bad(imports.Row{Kind: imports.KindStudent},
		`{"student_id": "", "given_name": "Ana", "family_name": "Ruiz", "class_id": "7a", "on": "2026-09-01"}`))...)
	plan, err = s.imports(s.log).Plan(t.Context(), school, "office", packed, false)
	require.NoError(t, err)
	require.Len(t, plan.Asks, 1)
	require.Equal(t, int64(2), plan.Asks[0].Count)
	_, err = s.imports(s.log).Apply(t.Context(), school, imports.By{User: "office"}, plan.ID, nil)
	var guard *imports.GuardError
	require.ErrorAs(t, err, &guard)
}

func testGuard(t *testing.T, s *stack, school string) {
	s.apply(school, pack(t, complete("sis"), pupils(t, 20)...), false)
	service := s.imports(s.log)
	plan, err := service.Plan(t.Context(), school, "office",
		pack(t, complete("sis"), pupils(t, 17)...), false)
	require.NoError(t, err)
	for _, given := range []imports.Consents{nil, {"withdraw": 2}, {"withdraw": 20}, {"leave": 3}} {
		_, err = service.Apply(t.Context(), school, imports.By{User: "office"}, plan.ID, given)
		var guard *imports.GuardError
		require.ErrorAs(t, err, &guard)
		require.Equal(t, []imports.Ask{{
			Consent: "withdraw", Count: 3, Held: 20, Reason: "it is more than 10 % of them",
		}}, guard.Asks)
	}
	_, err = service.Apply(t.Context(), school, imports.By{User: "office"}, plan.ID, imports.Consents{"withdraw": 3})
	require.NoError(t, err)
	left := 0
	for _, one := range s.roster(school).Students {
		if !one.Holds {
			left++
		}
	}
	require.Equal(t, 3, left)

	// A package that does not say that it has all students ends none.
	plan, err = service.Plan(t.Context(), school, "office",
		pack(t, imports.Header{Source: "sis"}, pupils(t, 1)...), false)
	require.NoError(t, err)
	require.Zero(t, plan.Total)
}

func testSamePlan(t *testing.T, s *stack, school string) {
	service := s.imports(s.log)
	packed := pack(t, complete("sis"), pupils(t, 3)...)
	first, err := service.Plan(t.Context(), school, "office", packed, false)
	require.NoError(t, err)
	second, err := service.Plan(t.Context(), school, "office", packed, false)
	require.NoError(t, err)
	require.Equal(t, first.ID, second.ID)
	adopting, err := service.Plan(t.Context(), school, "office", packed, true)
	require.NoError(t, err)
	require.NotEqual(t, first.ID, adopting.ID)

	shown, events, err := service.Show(t.Context(), school, "office", first.ID, true)
	require.NoError(t, err)
	require.Equal(t, first.Events, shown.Events)
	require.Equal(t, 3, bytes.Count(events, []byte("\n")))
	for range 12 {
		packed = pack(t, complete("sis"), pupil(t, fmt.Sprint("s", time.Now().UnixNano()), "Ruiz"))
		_, err = service.Plan(t.Context(), school, "office", packed, false)
		require.NoError(t, err)
	}
	_, _, err = service.Show(t.Context(), school, "office", first.ID, false)
	require.ErrorIs(t, err, imports.ErrUnknown, "the ten newest plans are kept")
}

func TestPackagesThatAreNone(t *testing.T) {
	s := newStack(t)
	zip := func(text string) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		return out.Bytes()
	}
	header := `{"source": "sis"}` + "\n"
	for name, c := range map[string]struct {
		packed []byte
		want   string
	}{
		"empty":          {zip(""), "line 1 of the package is missing: it must be the header"},
		"not compressed": {[]byte(header), "line 1 of the package cannot be read"},
		"cut off":        {zip(header)[:30], "line 1 of the package"},
		"no header":      {zip(`{"kind": "student"}`), "is no header: has a member that does not belong there"},
		"own source":     {zip(`{"source": "schoolbell/operators"}`), "/source must not be one of Schoolbell's own"},
		"complete marks": {zip(`{"source": "sis", "complete": ["mark"]}`), "only [attending teaching link staff student class] can be complete"},
		"no JSON":        {zip(header + "\nsecret"), "line 3 of the package is no row: it is not valid JSON"},
		"unknown member": {zip(header + `{"kind": "student", "secret": 1}`), "line 2 of the package is no row: has a member that does not belong there"},
		"no URI":         {zip(`{"source": "our SIS"}`), "/source must be a URI reference"},
		"long place":     {zip(header + `{"kind": "student", "at": "` + strings.Repeat("x", 513) + `"}`), "has a place or a reason that is no line of at most 512 bytes"},
		"no line":        {zip(header + `{"kind": "student", "at": "\u001b[2Ja.csv:1"}`), "has a place or a reason that is no line"},
		"a row less":     {zip(`{"source": "sis", "rows": 2}` + "\n" + `{"kind": "student", "refused": "no id"}`), "line 2 of the package is the last one, after 1 rows, and the header says that there are 2"},
		"long line":      {zip(header + strings.Repeat(" ", 65<<10)), "is longer than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.imports(s.log).Plan(t.Context(), "none", "office", c.packed, false)
			var bad *imports.PackageError
			require.ErrorAs(t, err, &bad)
			require.ErrorContains(t, err, c.want)
		})
	}
	plan, err := s.imports(s.log).Plan(t.Context(), "none", "office",
		pack(t, imports.Header{Source: "sis"}, imports.Row{Kind: "planet", Data: []byte("{}")}), false)
	require.NoError(t, err)
	require.Equal(t, imports.Refusals{{
		Kind: "unknown", Reason: "the kind of row does not exist", Count: 1, At: []string{"line 2"},
	}}, plan.Refused)
}

// Plans, those made in the place of another one too, their refused rows, and applied imports are
// counted once each, however often an import is sent.
func testMetrics(t *testing.T, s *stack, school string) {
	registry := prometheus.NewRegistry()
	service := imports.New(imports.Config{
		Writer:   ingest.Writer{Log: s.log, Limit: 10 * time.Second},
		Database: s.tables, Log: s.log, Partitions: 1, Set: set, Positions: s.positions,
		WaitLimit: time.Minute, Metrics: registry,
	})
	counts := func(plans, applied, refused int) {
		t.Helper()
		require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP schoolbell_import_plans_total Plans of imports that were made.
# TYPE schoolbell_import_plans_total counter
schoolbell_import_plans_total %d
# HELP schoolbell_import_refused_rows_total Rows of packages that plans refuse.
# TYPE schoolbell_import_refused_rows_total counter
schoolbell_import_refused_rows_total %d
# HELP schoolbell_imports_applied_total Imports that were applied to the end.
# TYPE schoolbell_imports_applied_total counter
schoolbell_imports_applied_total %d
`, plans, refused, applied)), "schoolbell_import_plans_total", "schoolbell_imports_applied_total",
			"schoolbell_import_refused_rows_total"))
		series, err := testutil.GatherAndCount(registry, "schoolbell_import_duration_seconds")
		require.NoError(t, err)
		require.Equal(t, 2, series)
	}
	counts(0, 0, 0)
	rows := append(pupils(t, 3), row(t, imports.KindStudent, imports.Student{StudentID: "bad"}))
	plan, err := service.Plan(t.Context(), school, "office", pack(t, complete("sis"), rows...), false)
	require.NoError(t, err)
	counts(1, 0, 1)
	s.publish(school, "platform", &student.Enrolled{
		StudentID: "s1", GivenName: "Ana", FamilyName: "Ruiz Castro", ClassID: "7a", On: today(),
	})
	_, err = service.Apply(t.Context(), school, imports.By{User: "office"}, plan.ID, nil)
	var moved *imports.MovedError
	require.ErrorAs(t, err, &moved)
	counts(2, 0, 2)
	for range 2 {
		_, err = service.Apply(t.Context(), school, imports.By{User: "office"}, moved.Plan.ID, nil)
		require.NoError(t, err)
		counts(2, 1, 2)
	}
}
