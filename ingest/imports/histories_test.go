package imports_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections/students"
)

// typeOf returns the wire name of a fact.
func typeOf(data domain.Event) string {
	for _, f := range catalog.Facts() {
		if f.Upcast == nil && f.GoType() == reflect.TypeOf(data).Elem() {
			return f.Type
		}
	}
	panic("no such fact")
}

// drawn is a package of random rows.
type drawn struct {
	students    map[string]imports.Student
	classes     map[string]imports.Class
	staff       map[string]imports.Staff
	links       map[students.RosterLinkKey]imports.Link
	memberships map[string]imports.Membership
}

func draw(r *rand.Rand) drawn {
	d := drawn{
		students: map[string]imports.Student{}, classes: map[string]imports.Class{},
		staff:       map[string]imports.Staff{},
		links:       map[students.RosterLinkKey]imports.Link{},
		memberships: map[string]imports.Membership{},
	}
	maybe := func() bool { return r.IntN(4) > 0 }
	text := func() domain.Change[string] {
		return []domain.Change[string]{
			domain.To("a@example.org"), domain.To("b@example.org"), domain.Removed[string](),
		}[r.IntN(3)]
	}
	// the first day belongs to the thing, the day after the last one to the package
	first := func(i int) domain.Date { return today().AddDays([]int{-400, -30, -1, 0, 20}[i%5]) }
	last := func(from domain.Date) domain.Date {
		switch r.IntN(5) {
		case 0:
			return max(from, today().AddDays(-r.IntN(20)))
		case 1:
			return max(from, today()).AddDays(1 + r.IntN(100))
		}
		return 0
	}
	for i := range 3 {
		id := fmt.Sprint("c", i)
		if maybe() {
			d.classes[id] = imports.Class{
				ClassID: id, Title: fmt.Sprint("Class ", r.IntN(3)),
				Kind:     []string{class.Home, class.Section}[r.IntN(2)],
				Subjects: domain.To([]string{"art", "music"}[:r.IntN(3)]), Room: text(),
			}
		}
	}
	for i := range 6 {
		id := fmt.Sprint("s", i)
		if maybe() {
			d.students[id] = imports.Student{
				StudentID: id, GivenName: fmt.Sprint("Given ", r.IntN(2)), FamilyName: "Family",
				BirthDate:  domain.To([]domain.Date{0, 730_000, 730_001}[r.IntN(3)]),
				GradeLevel: domain.To([]domain.Label{"", "1", "2"}[r.IntN(3)]), Email: text(),
				PreferredName: text(),
				ClassID:       fmt.Sprint("c", r.IntN(3)), On: first(i), LeftOn: last(first(i)),
			}
		}
		if maybe() {
			mid := "m" + id
			d.memberships[mid] = imports.Membership{
				MembershipID: mid, ClassID: fmt.Sprint("c", r.IntN(3)), PersonID: id,
				Role: membership.Student, From: first(i), To: last(first(i)),
			}
		}
	}
	for i := range 3 {
		id := fmt.Sprint("t", i)
		if maybe() {
			d.staff[id] = imports.Staff{
				StaffID: id, Name: fmt.Sprint("Teacher ", r.IntN(2)), Role: "teacher",
				ClassIDs: domain.To([]string{"c0", "c1"}[:r.IntN(3)]), Email: text(),
				Subjects: domain.To([]string{"art", "music"}[:r.IntN(3)]),
			}
		}
		if maybe() {
			mid := "m" + id
			d.memberships[mid] = imports.Membership{
				MembershipID: mid, ClassID: "c0", PersonID: id, Primary: r.IntN(2) == 0,
				Role: []string{membership.Teacher, membership.Aide}[r.IntN(2)],
				From: first(i), To: last(first(i)),
			}
		}
	}
	for i := range 3 {
		name, phone, email := fmt.Sprint("Guardian ", r.IntN(2)), domain.Removed[string](), text()
		if maybe() {
			phone = domain.To(fmt.Sprint("030 555 010", r.IntN(3)))
		}
		for j := range 6 {
			if r.IntN(2) == 0 {
				continue
			}
			key := students.RosterLinkKey{StudentID: fmt.Sprint("s", j), GuardianID: fmt.Sprint("g", i)}
			d.links[key] = imports.Link{
				GuardianID: key.GuardianID, StudentID: key.StudentID, Name: name, Phone: phone,
				Email: email, Relation: fmt.Sprint("relation ", r.IntN(2)), Primary: r.IntN(2) == 0,
			}
		}
	}
	return d
}

// packAs writes the package of a source in a random order.
func (d drawn) packAs(t testing.TB, r *rand.Rand, source string) []byte {
	var rows []any
	for _, v := range d.classes {
		rows = append(rows, row(t, imports.KindClass, v))
	}
	for _, v := range d.students {
		rows = append(rows, row(t, imports.KindStudent, v))
	}
	for _, v := range d.staff {
		rows = append(rows, row(t, imports.KindStaff, v))
	}
	for _, v := range d.links {
		rows = append(rows, row(t, imports.KindLink, v))
	}
	for _, v := range d.memberships {
		kind := imports.KindTeaching
		if v.Role == membership.Student {
			kind = imports.KindAttending
		}
		rows = append(rows, row(t, kind, v))
	}
	r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return pack(t, complete(source), rows...)
}

// says is what a package says that holds, and what the directory holds of its source, in one form.
func (d drawn) says() map[string]any {
	out := map[string]any{}
	for id, s := range d.students {
		if s.LeftOn.IsZero() || s.LeftOn > max(s.On, today()) {
			out["student "+id] = []any{
				s.GivenName, s.FamilyName, s.PreferredName.Value, s.Email.Value, s.BirthDate.Value,
				s.ClassID, s.GradeLevel.Value, s.LeftOn,
			}
		}
	}
	for id, c := range d.classes {
		out["class "+id] = []any{c.Title, c.Kind, c.Room.Value, fmt.Sprint(c.Subjects.Value)}
	}
	for id, s := range d.staff {
		out["staff "+id] = []any{
			s.Name, s.Role, s.Email.Value, fmt.Sprint(s.ClassIDs.Value), fmt.Sprint(s.Subjects.Value),
		}
	}
	for id, l := range d.links {
		out[fmt.Sprint("link ", id)] = []any{
			l.Relation, l.Primary, l.Name, l.Phone.Value, l.Email.Value,
		}
	}
	for id, m := range d.memberships {
		if m.To.IsZero() || m.To > max(m.From, today()) {
			out["membership "+id] = []any{m.ClassID, m.PersonID, m.Role, m.Primary, m.To}
		}
	}
	return out
}

func holds(r *students.Roster, source string) map[string]any {
	out := map[string]any{}
	for id, s := range r.Students {
		if s.Holds && s.Source == source {
			out["student "+id] = []any{
				s.GivenName, s.FamilyName, s.PreferredName, s.Email, s.BirthDate, s.ClassID,
				s.GradeLevel, s.To,
			}
		}
	}
	for id, c := range r.Classes {
		if c.Holds && c.Source == source {
			out["class "+id] = []any{c.Title, c.Kind, c.Room, fmt.Sprint(c.Subjects)}
		}
	}
	for id, s := range r.Staff {
		if s.Holds && s.Source == source {
			out["staff "+id] = []any{
				s.Name, s.Role, s.Email, fmt.Sprint(s.ClassIDs), fmt.Sprint(s.Subjects),
			}
		}
	}
	for id, l := range r.Links {
		if l.Holds && l.Source == source {
			g := r.Guardians[id.GuardianID]
			out[fmt.Sprint("link ", id)] = []any{l.Relation, l.Primary, g.Name, g.Phone, g.Email}
		}
	}
	for id, m := range r.Memberships {
		if m.Holds && m.Source == source {
			out["membership "+id] = []any{m.ClassID, m.PersonID, m.Role, m.Primary, m.To}
		}
	}
	return out
}

// platform are facts of another source, about people and classes of its own and of the package.
func platform() []domain.Event {
	on := today().AddDays(-100)
	return []domain.Event{
		&class.Defined{ClassID: "co", Title: "Choir", Kind: class.Section},
		&student.Enrolled{StudentID: "o1", GivenName: "O", FamilyName: "One", ClassID: "c0", On: on},
		&guardian.Linked{GuardianID: "go", StudentID: "o1", Name: "G", Relation: "aunt", Phone: "030 5550199"},
		&guardian.Linked{GuardianID: "go", StudentID: "s0", Name: "G", Relation: "aunt", Phone: "030 5550199"},
		&staff.Assigned{StaffID: "to", Name: "T", Role: "teacher", ClassIDs: []string{"co"}},
		&membership.Started{MembershipID: "mo", ClassID: "co", PersonID: "s0", Role: membership.Student, From: on},
		&membership.Started{MembershipID: "mo2", ClassID: "co", PersonID: "to", Role: membership.Teacher, From: on},
	}
}

// Whatever was imported before and wherever it crashed, the directory is as the last package says;
// what other sources said stays; and importing the package again plans nothing.
func TestHistoriesOfPackages(t *testing.T) {
	defer imports.SetApplyBatch(3)()
	s := newStack(t)
	for seed := range devtest.Size(t, "SCHOOLBELL_HISTORIES", 40, 300) {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		school := fmt.Sprint("school-", seed)
		s.publish(school, "platform", platform()...)
		others := holds(s.roster(school), "platform")
		require.Len(t, others, 7)
		a, b := draw(r), draw(r)
		for step, p := range []drawn{a, b, a, b, a} {
			what := fmt.Sprintf("seed %d, step %d", seed, step)
			packed := p.packAs(t, r, "sis")
			s.importAll(school, packed, false, r, what)
			roster := s.roster(school)
			require.Empty(t, cmp.Diff(p.says(), holds(roster, "sis")), what)
			require.Empty(t, cmp.Diff(others, holds(roster, "platform")), what)
			again, err := s.imports(s.log).Plan(t.Context(), school, "office", packed, false)
			require.NoError(t, err, what)
			require.Empty(t, again.Events, what)
		}
	}
}

// importAll imports a package by processes that crash at any point, and are started again.
func (s *stack) importAll(
	school string, packed []byte, adopt bool, r *rand.Rand, what string,
) {
	s.t.Helper()
	plan, err := s.imports(s.log).Plan(s.t.Context(), school, "office", packed, adopt)
	require.NoError(s.t, err, what)
	consents := imports.Consents{}
	for _, ask := range plan.Asks {
		consents[ask.Consent] = ask.Count
	}
	total := plan.Total
	for try := 0; plan.State != imports.Applied; try++ {
		log := &crashing{Log: s.log, left: -1}
		if try < 3 && r.IntN(2) == 0 {
			log.left, log.written = r.IntN(int(total)/3+1), r.IntN(2) == 0
		}
		next, err := s.imports(log).Apply(s.t.Context(), school, imports.By{User: "office"}, plan.ID, consents)
		if err != nil {
			require.ErrorIs(s.t, err, errCrash, what)
			continue
		}
		plan = next
	}
	require.Equal(s.t, total, plan.Written, what)
}
