package imports_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/school"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// belief is what the directory should hold after imports of several sources: of each thing, whose it
// is and what that source says.
type belief struct {
	rows      map[string]owned // by the key of [drawn.says]
	guardians map[string]owned
}

type owned struct {
	source string
	says   any
}

// imported is what an import makes of a belief.
func (b belief) imported(source string, d drawn, adopt bool) {
	says, contacts := d.says(), d.contacts()
	linked := map[string]bool{} // guardians whose own source links them
	for key, row := range b.rows {
		if of := guardianOf(key); of != "" && row.source == b.guardians[of].source {
			linked[of] = true
		}
	}
	for id, how := range contacts {
		if have, known := b.guardians[id]; !known || have.source == source || adopt || !linked[id] {
			b.guardians[id] = owned{source, how}
		}
	}
	for key := range d.keys() {
		have, held := b.rows[key]
		if held && have.source != source && !adopt {
			continue
		}
		if row, holds := says[key]; holds {
			b.rows[key] = owned{source, row}
		} else {
			delete(b.rows, key)
		}
	}
	for key, have := range b.rows {
		if !d.keys()[key] && (have.source == source || adopt) {
			delete(b.rows, key)
		}
	}
}

// of is what a belief holds of a source, as [holds] shows the directory. The contacts of a link are
// those of its guardian, whoever says them.
func (b belief) of(source string) map[string]any {
	out := map[string]any{}
	for key, row := range b.rows {
		if row.source != source {
			continue
		}
		out[key] = row.says
		if of := guardianOf(key); of != "" {
			out[key] = append(row.says.([]any)[:2:2], b.guardians[of].says.([]any)...)
		}
	}
	return out
}

// guardianOf is the guardian of a link's key, or empty.
func guardianOf(key string) (guardian string) {
	var studentID string
	if n, _ := fmt.Sscanf(key, "link {%s %s", &studentID, &guardian); n < 2 {
		return ""
	}
	return guardian[:len(guardian)-1]
}

// keys are all rows of a package, those that hold no longer too.
func (d drawn) keys() map[string]bool {
	keys := map[string]bool{}
	for id := range d.students {
		keys["student "+id] = true
	}
	for id := range d.classes {
		keys["class "+id] = true
	}
	for id := range d.staff {
		keys["staff "+id] = true
	}
	for id := range d.links {
		keys[fmt.Sprint("link ", id)] = true
	}
	for id := range d.memberships {
		keys["membership "+id] = true
	}
	return keys
}

// contacts are how a package says to reach guardians.
func (d drawn) contacts() map[string]any {
	out := map[string]any{}
	for id, l := range d.links {
		out[id.GuardianID] = []any{l.Name, l.Phone.Value, l.Email.Value}
	}
	return out
}

// Two systems export the same school, with ids that meet. Whatever they have imported in turns, A, B,
// A, B, A each, the directory holds of each what it said last of what is its own; now and then one
// adopts everything.
func TestHistoriesOfTwoSources(t *testing.T) {
	defer imports.SetApplyBatch(3)()
	s := newStack(t)
	for seed := range devtest.Size(t, "SCHOOLBELL_HISTORIES", 25, 300) {
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		school := fmt.Sprint("school-", seed)
		packages := map[string][]drawn{"sis": {draw(r), draw(r)}, "edfi": {draw(r), draw(r)}}
		b := belief{map[string]owned{}, map[string]owned{}}
		for step := range 10 {
			source := []string{"sis", "edfi"}[step%2]
			d, adopt := packages[source][step/2%2], r.IntN(5) == 0
			what := fmt.Sprintf("seed %d, step %d, %s, adopt %v", seed, step, source, adopt)
			packed := d.packAs(t, r, source)
			s.importAll(school, packed, adopt, r, what)
			b.imported(source, d, adopt)
			roster := s.roster(school)
			for _, of := range []string{"sis", "edfi"} {
				require.Empty(t, cmp.Diff(b.of(of), holds(roster, of)), "%s, rows of %s", what, of)
			}
			again, err := s.imports(s.log).Plan(t.Context(), school, "office", packed, adopt)
			require.NoError(t, err, what)
			require.Empty(t, again.Events, what)
		}
	}
}

// The student information system and Ed-Fi files have the same students, classes and guardians. Ed-Fi
// says other things about them, has a student under another id, and a class less.
func testSources(t *testing.T, s *stack, schoolID string) {
	describe := func(name string) imports.Row {
		return row(t, imports.KindSchool, school.Described{Name: name})
	}
	link := func(studentID, phone string) imports.Row {
		return row(t, imports.KindLink, imports.Link{
			GuardianID: "g1", StudentID: studentID, Name: "Rosa Ruiz", Relation: "mother",
			Phone: domain.To(phone),
		})
	}
	room := func(id, title string) imports.Row {
		return row(t, imports.KindClass, imports.Class{ClassID: id, Title: title, Kind: class.Home})
	}
	sis := pack(t, complete("sis"), describe("Lindenhof"), room("7a", "7a"), room("7b", "7b"),
		pupil(t, "s1", "Ruiz"), pupil(t, "s2", "Ruiz"), link("s1", "030 555 0100"))
	edfi := pack(t, complete("edfi"), describe("Lindenhof School"), room("7a", "Seven A"),
		pupil(t, "s1", "Ruiz Castro"), pupil(t, "state-2", "Ruiz"), link("s1", "030 555 0199"),
		link("state-2", "030 555 0199"))

	s.apply(schoolID, sis, false)
	for range 2 {
		plan := s.apply(schoolID, edfi, false)
		shared := map[imports.Kind]int64{}
		for kind, n := range plan.Rows {
			if n.Shared > 0 {
				shared[kind] = n.Shared
			}
		}
		require.Equal(t, map[imports.Kind]int64{
			imports.KindSchool: 1, imports.KindClass: 1, imports.KindStudent: 1, imports.KindLink: 1,
		}, shared)
		require.Equal(t, int64(1), plan.Rows[imports.KindClass].Foreign, "7b")
		require.Equal(t, int64(1), plan.Rows[imports.KindStudent].Foreign, "s2")

		r := s.roster(schoolID)
		require.Equal(t, "Lindenhof", r.Profile.Name)
		require.Equal(t, "7a", r.Classes["7a"].Title)
		require.Equal(t, "Ruiz", r.Students["s1"].FamilyName)
		require.Equal(t, "edfi", r.Students["state-2"].Source)
		require.Equal(t, "030 555 0100", r.Guardians["g1"].Phone, "a link takes over nothing")
		require.Equal(t, "sis", r.Guardians["g1"].Source)
		require.Zero(t, s.apply(schoolID, sis, false).Total, "nothing of its own has changed")
	}

	// An id that is renamed is another student: the old one leaves, and only of that source.
	renamed := pack(t, complete("edfi"), room("7a", "Seven A"), pupil(t, "s1", "Ruiz Castro"),
		pupil(t, "new-2", "Ruiz"), link("new-2", "030 555 0199"))
	s.apply(schoolID, renamed, false)
	r := s.roster(schoolID)
	require.False(t, r.Students["state-2"].Holds)
	require.True(t, r.Students["new-2"].Holds)
	require.True(t, r.Students["s1"].Holds)
	require.True(t, r.Students["s2"].Holds)
}

// What an import adopts is its own from then on: it changes and ends it, and the source that had it
// leaves it alone.
func testAdoption(t *testing.T, s *stack, school string) {
	moved := row(t, imports.KindStudent, imports.Student{
		StudentID: "s1", GivenName: "Ana", FamilyName: "Ruiz", ClassID: "7b",
		On: today().AddDays(-60),
	})
	sis := pack(t, complete("sis"), pupil(t, "s1", "Ruiz"), pupil(t, "s2", "Ruiz"))
	s.apply(school, sis, false)
	plan := s.apply(school, pack(t, complete("edfi"), moved), true)
	require.Equal(t, int64(1), plan.Rows[imports.KindStudent].Changed)
	require.Equal(t, int64(1), plan.Rows[imports.KindStudent].Missing)
	r := s.roster(school)
	require.Equal(t, "edfi", r.Students["s1"].Source)
	require.Equal(t, "7b", r.Students["s1"].ClassID)
	require.Equal(t, today().AddDays(-60), r.Students["s1"].From, "no other enrolment")
	require.False(t, r.Students["s2"].Holds)

	plan = s.apply(school, sis, false)
	require.Equal(t, int64(1), plan.Rows[imports.KindStudent].Shared)
	require.Equal(t, int64(1), plan.Rows[imports.KindStudent].Added, "s2, whom nobody has any more")
	require.Equal(t, "7b", s.roster(school).Students["s1"].ClassID)
	require.Zero(t, s.apply(school, pack(t, complete("edfi"), moved), false).Total)
}

// Two rows of one id that say different things may be two people. None of them is taken, and nothing
// of theirs ends; one that is only repeated is one.
func testAmbiguous(t *testing.T, s *stack, school string) {
	s.apply(school, pack(t, complete("sis"), pupils(t, 20)...), false)
	for _, family := range []string{"Ruiz", "Castro"} {
		rows := append(pupils(t, 19), pupil(t, "s18", family), pupil(t, "new", "A"), pupil(t, "new", "B"))
		plan := s.apply(school, pack(t, complete("sis"), rows...), false)
		r := s.roster(school)
		require.Equal(t, "Ruiz", r.Students["s18"].FamilyName)
		require.True(t, r.Students["s18"].Holds)
		require.NotContains(t, r.Students, "new")
		refused := int64(1)
		if family != "Ruiz" {
			refused = 2
		}
		require.Equal(t, refused, plan.Refused.Count())
		require.Contains(t, plan.Refused[0].Reason, "another row has this id")
	}
}

// What happened last to a parked subject is not in the tables, so an import leaves it alone; when
// the school is parked, it is all of the school.
func TestAnImportLeavesAloneWhatIsParked(t *testing.T) {
	const school = "parked"
	s := newStack(t)
	s.apply(school, pack(t, complete("sis"), pupils(t, 20)...), false)
	s.park(school, "s3")
	s.park(school, "s19")
	rows := append(pupils(t, 3), pupil(t, "s3", "Ruiz Castro"))
	for i := 4; i < 19; i++ {
		rows = append(rows, pupil(t, fmt.Sprint("s", i), "Ruiz"))
	}
	packed := pack(t, complete("sis"), rows...)
	s.roster(school) // is at the end of the log
	plan, err := s.imports(s.log).Plan(t.Context(), school, "office", packed, false)
	require.NoError(t, err)
	require.Zero(t, plan.Total, "neither changed nor withdrawn")
	require.Equal(t, "earlier events about it are parked, so that the tables are behind",
		plan.Refused[0].Reason)
	for i := range 3 { // one more than the limit of the stack
		s.park(school, fmt.Sprint("more", i))
	}
	s.roster(school)
	_, err = s.imports(s.log).Plan(t.Context(), school, "office", packed, false)
	require.ErrorIs(t, err, imports.ErrParked)
}

// park writes an event of a newer version about a subject, which this one cannot fold.
func (s *stack) park(school, subject string) {
	s.t.Helper()
	record, err := cloudevents.Encode(&domain.Envelope{
		ID: "newer-" + subject, Source: "sis", Type: student.TypeWithdrawn, School: school,
		Subject: subject, Time: today().Time(),
		Data: &student.Withdrawn{StudentID: subject, On: today()},
	})
	require.NoError(s.t, err)
	for i, h := range record.Headers {
		if string(h.Value) == student.TypeWithdrawn {
			record.Headers[i].Value = []byte("schoolbell.student.withdrawn.v99")
		}
	}
	_, err = s.log.Append(s.t.Context(), school, []eventlog.Record{record})
	require.NoError(s.t, err)
}
