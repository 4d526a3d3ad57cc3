package httpapi_test

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider/inbox"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

const link = `{"guardian_id":"g-1","student_id":"s-1","name":"G","relation":"mother","primary":true}`

// byTheClock makes today the real one, where facts are dated by it.
func byTheClock(_ *httpapi.Config, d *httpapi.Deps) { d.Today = nil }

// ending is a right and the fact that ends it.
type ending struct {
	user, role    string
	before, after []string // events
}

func endings() map[string]ending {
	today := day(0)
	assigned := structured("a", "staff.assigned",
		`{"staff_id":"t-1","name":"T","role":"teacher","class_ids":["c-1"]}`)
	member := func(id, person, role string) string {
		return structured("m"+id, "membership.started", `{"membership_id":"`+id+`","class_id":"S",
			"person_id":"`+person+`","role":"`+role+`","from":"2026-09-01"}`)
	}
	ended := structured("me", "membership.ended", `{"membership_id":"1","to":"`+today+`"}`)
	linked := structured("l", "guardian.linked", link)
	return map[string]ending{
		"a guardian is unlinked": {
			user: "g-1", role: "guardian", before: []string{linked},
			after: []string{structured("u", "guardian.unlinked",
				`{"guardian_id":"g-1","student_id":"s-1","on":"`+today+`"}`)},
		},
		"a guardian is unlinked at once": {
			user: "g-1", role: "guardian", before: []string{linked},
			after: []string{structured("u", "guardian.unlinked",
				`{"guardian_id":"g-1","student_id":"s-1"}`)},
		},
		"a teacher leaves": {
			user: "t-1", role: "teacher", before: []string{assigned},
			after: []string{structured("left", "staff.left", `{"staff_id":"t-1","on":"`+today+`"}`)},
		},
		"a teacher gets another class": {
			user: "t-1", role: "teacher", before: []string{assigned},
			after: []string{structured("a2", "staff.assigned",
				`{"staff_id":"t-1","name":"T","role":"teacher","class_ids":["c-2"]}`)},
		},
		"a teacher's membership ends": {
			user: "t-1", role: "teacher",
			before: []string{member("1", "t-1", "teacher"), member("2", "s-1", "student")},
			after:  []string{ended},
		},
		"a student's membership ends": {
			user: "t-1", role: "teacher",
			before: []string{member("2", "t-1", "teacher"), member("1", "s-1", "student")},
			after:  []string{ended},
		},
		"the class is closed": {
			user: "t-1", role: "teacher",
			before: []string{member("2", "t-1", "teacher"), member("1", "s-1", "student")},
			after:  []string{structured("c", "class.closed", `{"class_id":"S","on":"`+today+`"}`)},
		},
		"a student moves": {
			user: "t-1", role: "teacher", before: []string{assigned},
			after: []string{structured("mv", "student.class_changed",
				`{"student_id":"s-1","class_id":"c-9","on":"`+today+`"}`)},
		},
		"a student is withdrawn": {
			user: "t-1", role: "teacher", before: []string{assigned},
			after: []string{structured("w", "student.withdrawn",
				`{"student_id":"s-1","on":"`+today+`"}`)},
		},
		"a student left more than a year ago": {
			user: "g-1", role: "guardian", before: []string{linked},
			after: []string{structured("w", "student.withdrawn",
				`{"student_id":"s-1","on":"`+day(-366)+`"}`)},
		},
		"oneself left more than a year ago": {
			user: "s-1", role: "student",
			after: []string{structured("w", "student.withdrawn",
				`{"student_id":"s-1","on":"`+day(-366)+`"}`)},
		},
	}
}

// A right ends for whoever has just read, with a cached result at hand, over HTTP, over a live
// connection and in the inbox: at once for a request that names the fact's position, and soon for
// all others.
func TestP10_RightsEndWithTheFactThatEndsThem(t *testing.T) {
	t.Parallel()
	s := full(t, byTheClock)
	all := endings()
	for i, name := range slices.Repeat(slices.Sorted(maps.Keys(all)), 2) {
		e, school := all[name], "school-"+strconv.Itoa(i)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.of(t)
			path := "/v1/schools/" + school + "/students/s-1"
			bearer := token(t, school, e.user, e.role)
			at := s.publish(school, append([]string{structured("e", "student.enrolled",
				`{"student_id":"s-1","given_name":"Ada","family_name":"B","class_id":"c-1",
				"on":"2025-01-01"}`)}, e.before...)...)
			letter := announced("d-"+school, school, e.user, consumers.InApp)
			letter.Student = "s-1"
			for _, sent := range inbox.New(s.jobs.Conns(), s.writer()).SendBatch(t.Context(),
				[]*consumers.Delivery{letter}) {
				require.NoError(t, sent.Err)
			}
			sees := func(header ...string) []int {
				rpc, err := s.api.Query(t.Context(), auth.Principal{
					Subject: e.user, School: school, Roles: []string{e.role},
				}, school, "student", []byte(`{"id":"s-1"}`))
				require.NoError(t, err)
				return []int{
					s.get(path, bearer, header...).StatusCode,
					s.get(path+"/timeline", bearer, header...).StatusCode,
					map[bool]int{true: 200, false: 403}[len(rpc) > 0 && string(rpc[:13]) == `{"status":200`],
					len(decoded[inbox.Page](t, s.get("/v1/schools/"+school+"/inbox", bearer)).Messages),
				}
			}
			require.Equal(t, 200, s.get(path, bearer, "Schoolbell-Min-Position", at).StatusCode)
			require.Equal(t, []int{200, 200, 200, 1}, sees())
			at = s.publish(school, e.after...)
			if named := i%2 == 0; named {
				require.Equal(t, http.StatusForbidden,
					s.get(path, bearer, "Schoolbell-Min-Position", at).StatusCode)
			}
			require.Eventually(t, func() bool {
				got := sees()
				return got[0] == 403 && got[1] == 403 && got[2] == 403 && got[3] == 0
			}, 20*time.Second, 50*time.Millisecond)
		})
	}
}

// of is the stack for a subtest, which fails by itself.
func (s *stack) of(t *testing.T) *stack {
	c := *s
	c.t = t
	return &c
}

// A family whose child has just left reads what there is.
func TestP10_AfterLeavingAFamilyReadsWhatThereIs(t *testing.T) {
	t.Parallel()
	s := full(t, byTheClock)
	at := s.publish("north", enrolled("s-1"), structured("l", "guardian.linked", link),
		structured("w", "student.withdrawn", `{"student_id":"s-1","on":"`+day(-1)+`"}`))
	for _, bearer := range []string{
		token(t, "north", "g-1", "guardian"), token(t, "north", "s-1", "student"),
	} {
		require.Equal(t, 200, s.get("/v1/schools/north/students/s-1", bearer,
			"Schoolbell-Min-Position", at).StatusCode)
	}
}

// Another teacher of the same class shares the cached result, and one of another class does not.
func TestTeachersOfTheSameClassShareResults(t *testing.T) {
	t.Parallel()
	s := full(t)
	teacher := func(id, classID string) string {
		return structured(id, "staff.assigned",
			`{"staff_id":"`+id+`","name":"T","role":"teacher","class_ids":["`+classID+`"]}`)
	}
	at := s.publish("north", enrolled("s-1"), enrolled("s-2"), teacher("t-1", "c-1"),
		teacher("t-2", "c-1"), teacher("t-3", "c-3"))
	list := func(user string) response {
		return s.get("/v1/schools/north/students", token(t, "north", user, "teacher"),
			"Schoolbell-Min-Position", at)
	}
	require.Equal(t, "miss", list("t-1").Header.Get("X-Cache"))
	shared := list("t-2")
	require.Equal(t, "hit", shared.Header.Get("X-Cache"))
	require.Contains(t, string(shared.body), "s-2")
	foreign := list("t-3")
	require.Equal(t, "miss", foreign.Header.Get("X-Cache"))
	require.NotContains(t, string(foreign.body), "s-1")
}
