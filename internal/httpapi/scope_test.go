package httpapi_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/projections/students"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

// randomSchool is a school of three classes, four students, two guardians and two teachers, whose
// connections are random. It says what the directory must say about each user.
type randomSchool struct {
	name   string
	policy access.Policy
	events []string
	users  map[string]*access.Directory
}

var pupils = []string{"s0", "s1", "s2", "s3"}

func day(from int) string { return domain.DateOf(time.Now().UTC()).AddDays(from).String() }

// add adds an event, whose data is written as in fmt.Sprintf.
func (r *randomSchool) add(eventType, data string, args ...any) {
	id := fmt.Sprintf("%s-%d", r.name, len(r.events))
	r.events = append(r.events, structured(id, eventType, fmt.Sprintf(data, args...)))
}

func newRandomSchool(name string, random *rand.Rand) *randomSchool {
	r := &randomSchool{name: name, users: map[string]*access.Directory{}}
	r.policy.TeachersSeeAll = random.IntN(4) == 0
	for _, user := range slices.Concat(pupils, []string{"g0", "g1", "t0", "t1", "u"}) {
		r.users[user] = &access.Directory{}
	}
	classes, attends, reads := map[string][]string{}, map[string]bool{}, map[string]bool{}
	for _, s := range pupils {
		home, on := []string{"A", "B"}[random.IntN(2)], day(-500)
		attends[s], reads[s] = true, true
		kind := random.IntN(6)
		if kind == 0 {
			on, attends[s] = day(30), false
		}
		r.add("student.enrolled", `{"student_id":%q,"given_name":"N","family_name":"F","class_id":%q,
			"on":%q,"birth_date":"2014-05-06"}`, s, home, on)
		r.add("student.details_changed", `{"student_id":%q,"identifiers":["x"]}`, s)
		switch kind {
		case 1:
			r.add("student.withdrawn", `{"student_id":%q,"on":%q}`, s, day(-10))
			attends[s] = false
		case 2:
			r.add("student.withdrawn", `{"student_id":%q,"on":%q}`, s, day(-400))
			attends[s], reads[s] = false, false
		}
		classes[s] = []string{home}
		if random.IntN(2) == 0 {
			r.add("membership.started", `{"membership_id":"m-%s","class_id":"S","person_id":%q,
				"role":"student","from":%q}`, s, s, day(-100))
			classes[s] = append(classes[s], "S")
		}
		r.linkAll(s, random, attends[s], reads[s])
		r.facts(s, home)
	}
	r.employ(random, classes, attends)
	return r
}

// linkAll links guardians to a student at random; gx is one who never signs in.
func (r *randomSchool) linkAll(s string, random *rand.Rand, attends, reads bool) {
	link := `{"guardian_id":%q,"student_id":%q,"name":"G","relation":"mother",
		"phone":"+15550001111","primary":true}`
	r.add("guardian.linked", link, "gx", s)
	own := []string{s}
	for _, g := range []string{"g0", "g1"} {
		switch random.IntN(3) {
		case 0:
			r.add("guardian.linked", link, g, s)
			own = append(own, g)
		case 1:
			r.add("guardian.linked", link, g, s)
			r.add("guardian.unlinked", `{"guardian_id":%q,"student_id":%q,"on":%q}`, g, s, day(0))
		}
	}
	for _, user := range own {
		switch d := r.users[user]; {
		case attends:
			d.Children = append(d.Children, s)
		case reads:
			d.Away = append(d.Away, s)
		}
	}
}

// facts are one of each kind about a student, of a published and an unpublished term.
func (r *randomSchool) facts(s, class string) {
	r.add("attendance.marked", `{"student_id":%q,"class_id":%q,"date":"2026-09-01","session":"day",
		"status":"absent_excused","reason":"dentist"}`, s, class)
	for _, term := range []string{"published", "draft"} {
		r.add("assessment.scored", `{"assessment_id":%q,"student_id":%q,"class_id":%q,
			"subject":"maths","year":"2026","term":%q,"score":9,"max_score":20}`, term, s, class, term)
	}
	r.add("assessment.results_published", `{"class_id":%q,"year":"2026","term":"published"}`, class)
	r.add("fee.invoiced", `{"invoice_id":"i-%s","student_id":%q,"year":"2026","term":"1",
		"category":"tuition","amount":5,"currency":"EUR","due_on":"2026-09-02"}`, s, s)
}

// employ gives the teachers classes, by assignment and by membership. Some have left.
func (r *randomSchool) employ(
	random *rand.Rand, classes map[string][]string, attends map[string]bool,
) {
	for _, t := range []string{"t0", "t1"} {
		assigned, d := []string{}, r.users[t]
		for _, c := range []string{"A", "B"} {
			if random.IntN(2) == 0 {
				assigned = append(assigned, strconv.Quote(c))
				d.Teaches = append(d.Teaches, c)
			}
		}
		r.add("staff.assigned", `{"staff_id":%q,"name":"T","role":"teacher","class_ids":[%s]}`, t,
			strings.Join(assigned, ","))
		if random.IntN(2) == 0 {
			r.add("membership.started", `{"membership_id":"m-%s","class_id":"S","person_id":%q,
				"role":"teacher","from":%q}`, t, t, day(-100))
			if random.IntN(3) == 0 {
				r.add("membership.ended", `{"membership_id":"m-%s","to":%q}`, t, day(0))
			} else {
				d.Teaches = append(d.Teaches, "S")
			}
		}
		if random.IntN(4) == 0 {
			r.add("staff.left", `{"staff_id":%q,"on":%q}`, t, day(0))
			d.Teaches = nil
		}
		for _, s := range pupils {
			if attends[s] && slices.ContainsFunc(classes[s], func(c string) bool {
				return slices.Contains(d.Teaches, c)
			}) {
				d.Pupils = append(d.Pupils, s)
			}
		}
	}
}

// shown returns the fields of a student that texts show. Siblings depend on who else is visible.
func shown(profile, timeline string) (f access.Fields) {
	for _, of := range []struct {
		field  access.Fields
		in     string
		pieces []string
	}{
		{access.Names, profile, []string{`"given_name"`}},
		{access.Personal, profile, []string{`"birth_date"`}},
		{access.Identifiers, profile, []string{`"identifiers"`}},
		{access.Contacts, profile, []string{`"phone"`}},
		{access.Attendance, profile, []string{`"attendance"`}},
		{access.Reasons, timeline, []string{"dentist"}},
		{access.Marks, profile, []string{`"performance"`, `"term":"published"`}},
		{access.Drafts, profile, []string{`"performance"`, `"term":"draft"`}},
		{access.Fees, profile, []string{`"fees"`}},
	} {
		if !slices.ContainsFunc(of.pieces, func(p string) bool { return !strings.Contains(of.in, p) }) {
			f |= of.field
		}
	}
	return f
}

// For random directories and tokens, HTTP, queries over live connections and rooms show the same
// fields of a student: those of the scope. A room shows no score before it is published, and how
// to reach a guardian only to administrators and the office.
func TestP10_EverySurfaceShowsTheScope(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	schools := map[string]*randomSchool{}
	for i := range 8 {
		name := fmt.Sprintf("school-%d", i)
		schools[name] = newRandomSchool(name, random)
	}
	var tables httpapi.Tables
	policy := func(_ context.Context, school string) (access.Policy, error) {
		return schools[school].policy, nil
	}
	s := full(t, func(_ *httpapi.Config, d *httpapi.Deps) {
		tables, d.Policy, d.Today = d.Tables, policy, nil // its days are relative to the clock's
	})
	node := rt.Start(t, s.log, func(c *realtime.Config) {
		c.Rights = func(ctx context.Context, school, user string, _ domain.Position) (
			g realtime.Grants, err error,
		) {
			g.Policy = schools[school].policy
			err = tables.Read(ctx, school, func(tx pgx.Tx) (err error) {
				g.Directory, err = students.ConnectionsOf(ctx, tx, school, user,
					domain.DateOf(time.Now().UTC()), g.Policy)
				return err
			})
			return g, err
		}
	})
	for name, school := range schools {
		at := s.publish(name, school.events...)
		require.Equal(t, 200, s.get("/v1/schools/"+name+"/school", token(t, name, "u", "admin"),
			"Schoolbell-Min-Position", at).StatusCode)
	}
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		school := schools[fmt.Sprintf("school-%d", rapid.IntRange(0, 7).Draw(t, "school"))]
		user := rapid.SampledFrom([]string{"s0", "s1", "g0", "g1", "t0", "t1", "u"}).Draw(t, "user")
		roles := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			"admin", "office", "teacher", "teacher", "accountant", "guardian", "student",
		}), 1, 2, rapid.ID).Draw(t, "roles")
		if rapid.Bool().Draw(t, "usual role") {
			roles = []string{map[byte]string{
				's': "student", 'g': "guardian", 't': "teacher", 'u': "office",
			}[user[0]]}
		}
		student := rapid.SampledFrom(pupils).Draw(t, "student")
		if d := school.users[user]; len(d.Away) > 0 && rapid.Bool().Draw(t, "away") {
			student = d.Away[0]
		}
		bearer := access.Bearer{Subject: user, School: school.name, Roles: roles}
		scope := access.For(&bearer, school.users[user], school.policy)
		want := scope.Of(student)

		path := "/v1/schools/" + school.name + "/students/" + student
		tok := token(s.t, school.name, user, roles...)
		r, timeline := s.get(path, tok), s.get(path+"/timeline?limit=500", tok)
		got := access.Fields(0)
		if r.StatusCode == http.StatusOK {
			got = shown(string(r.body), string(timeline.body))
		}
		require.Equal(t, (want &^ access.Siblings).Names(), got.Names(), "over HTTP: %s", r.body)

		reply, err := s.api.Query(s.t.Context(), auth.Principal{
			Subject: user, School: school.name, Roles: roles,
		}, school.name, "student", []byte(`{"id":"`+student+`"}`))
		require.NoError(t, err)
		var called struct {
			Status int `json:"status"`
			Body   any `json:"body"`
		}
		var body any
		require.NoError(t, json.Unmarshal(reply, &called))
		require.NoError(t, json.Unmarshal(r.body, &body))
		require.Equal(t, r.StatusCode, called.Status)
		if called.Status == http.StatusOK {
			require.Equal(t, body, called.Body, "over a live connection")
		}

		n++
		live := scope.OfAttending(student) &^ (access.Siblings | access.Marks)
		if as := scope.Audiences(student); !as.Has(domain.Administration) && !as.Has(domain.Office) {
			live &^= access.Contacts
		}
		heard, at := inRoom(s, node, bearer, student, n)
		require.Equal(t, live.Names(), heard.Names(), "in the room")
		if at != "" { // the next reads are of the same tables
			s.get(path, token(s.t, school.name, "u", "admin"), "Schoolbell-Min-Position", at)
		}
	})
}

// inRoom returns the fields that the room of a student shows of events about the student.
func inRoom(
	s *stack, node *rt.Node, bearer access.Bearer, student string, n int,
) (f access.Fields, at string) {
	room := domain.Room{Kind: domain.RoomStudent, ID: student}
	reader, err := rt.TryListen(s.t, node, realtime.Identity{
		Subject: bearer.Subject, School: bearer.School, Roles: bearer.Roles,
		Expires: time.Now().Add(time.Hour),
	}, realtime.Options{Rooms: []domain.Room{room}, Protocol: "test"})
	if err != nil {
		require.ErrorIs(s.t, err, realtime.ErrDenied)
		return 0, ""
	}
	defer reader.Stop()
	id := func(kind string) string { return fmt.Sprintf("live-%s-%d", kind, n) }
	at = s.publish(bearer.School,
		structured(id("d"), "student.details_changed", fmt.Sprintf(
			`{"student_id":%q,"given_name":"N","birth_date":"2014-05-06","identifiers":["x"]}`, student)),
		structured(id("l"), "guardian.linked", fmt.Sprintf(`{"guardian_id":"gx","student_id":%q,
			"name":"G","relation":"mother","phone":"+15550001111","primary":true}`, student)),
		structured(id("m"), "attendance.marked", fmt.Sprintf(`{"student_id":%q,"class_id":"A",
			"date":"2026-09-01","session":"day","status":"absent_excused","reason":"dentist"}`, student)),
		structured(id("a"), "assessment.scored", fmt.Sprintf(`{"assessment_id":"draft",
			"student_id":%q,"class_id":"A","subject":"maths","year":"2026","term":"draft","score":9,
			"max_score":20}`, student)),
		structured(id("f"), "fee.invoiced", fmt.Sprintf(`{"invoice_id":"%s","student_id":%q,
			"year":"2026","term":"1","category":"tuition","amount":5,"currency":"EUR",
			"due_on":"2026-09-02"}`, id("i"), student)))
	last, err := domain.ParsePosition(at)
	require.NoError(s.t, err)
	reader.Reaches(s.t, last)
	got, _ := reader.Until(s.t, func(got []realtime.Delivery, _ error) bool { return len(got) > 0 })
	for i := range got {
		text := string(got[i].AppendJSON(nil))
		for _, of := range []struct {
			field  access.Fields
			pieces []string
		}{
			{access.Names, []string{"student.details_changed"}},
			{access.Personal, []string{"student.details_changed", "birth_date"}},
			{access.Identifiers, []string{"student.details_changed", "identifiers"}},
			{access.Contacts, []string{"guardian.linked", "phone"}},
			{access.Attendance, []string{"attendance.marked"}},
			{access.Reasons, []string{"attendance.marked", "dentist"}},
			{access.Drafts, []string{"assessment.scored"}},
			{access.Fees, []string{"fee.invoiced"}},
		} {
			if !slices.ContainsFunc(of.pieces, func(p string) bool { return !strings.Contains(text, p) }) {
				f |= of.field
			}
		}
	}
	return f, at
}
