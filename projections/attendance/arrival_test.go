package attendance_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	marks "github.com/schoolbell/schoolbell/domain/attendance"
	days "github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/attendance"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/students"
)

// All numbers of attendance follow from these tables, so that they cannot depend on the order in
// which dated facts arrive when the tables do not.
func TestMembershipDoesNotDependOnTheOrderOfArrival(t *testing.T) {
	t.Parallel()
	set, err := projections.NewSet(students.Projection, calendar.Projection, attendance.Projection)
	require.NoError(t, err)
	tables := func(t *rapid.T, events []*domain.Envelope) map[string]any {
		r := projections.NewReference(set, nil, 1, 0)
		for i, e := range events {
			at := *e
			at.Position.Offset = int64(i)
			require.NoError(t, r.Fold(&at))
		}
		all, err := r.Dump()
		require.NoError(t, err)
		of := map[string]any{}
		for _, name := range []string{
			"enrolments", "calendar_years", "calendar_days", "attendance_months", "attendance_days",
		} {
			of[name] = all[name]
		}
		return of
	}
	rapid.Check(t, func(t *rapid.T) {
		var events []*domain.Envelope
		say := func(data domain.Event) {
			events = append(events, &domain.Envelope{
				School: "oak", Source: "test", ID: string(rune('a' + len(events))), Data: data,
				Time: time.Date(2026, 9, 1, 8, len(events), 0, 0, time.UTC),
			})
		}
		day := func(label string) domain.Date {
			return domain.NewDate(2026, 9, rapid.IntRange(1, 20).Draw(t, label))
		}
		class := rapid.SampledFrom([]string{"7A", "7B"})
		for range rapid.IntRange(1, 6).Draw(t, "directory") {
			switch rapid.IntRange(0, 2).Draw(t, "fact") {
			case 0:
				say(&student.Enrolled{
					StudentID: "ana", GivenName: "A", FamilyName: "B", ClassID: class.Draw(t, "class"),
					On: day("on"),
				})
			case 1:
				say(&student.ClassChanged{StudentID: "ana", ClassID: class.Draw(t, "class"), On: day("on")})
			default:
				say(&student.Withdrawn{StudentID: "ana", On: day("on")})
			}
		}
		for range rapid.IntRange(0, 4).Draw(t, "calendar") {
			kind := rapid.SampledFrom([]string{days.Instructional, days.Half, days.Holiday})
			say(&days.DaySet{
				Date: day("date"), Kind: kind.Draw(t, "kind"),
				ClassIDs: rapid.SliceOfN(class, 0, 2).Draw(t, "classes"),
			})
			say(&days.YearSet{Year: "2026", From: day("from"), To: domain.NewDate(2027, 7, 31)})
		}
		slots := map[domain.Date]bool{}
		for range rapid.IntRange(0, 6).Draw(t, "marks") {
			m := marks.Marked{
				StudentID: "ana", ClassID: class.Draw(t, "class"), Date: day("date"), Session: "day",
				Status: rapid.SampledFrom([]string{marks.Present, marks.AbsentExcused}).Draw(t, "status"),
			}
			if slots[m.Date] {
				continue // a school marks a session once, and may correct it
			}
			slots[m.Date] = true
			say(&m)
			if rapid.Bool().Draw(t, "corrected") {
				corrected := marks.Corrected(m)
				corrected.Status, corrected.Reason = marks.Late, "overslept"
				say(&corrected)
			}
		}
		want := tables(t, events)
		got := tables(t, rapid.Permutation(events).Draw(t, "arrival"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("another order, other tables (%v):\n%s", len(events), diff)
		}
	})
}
