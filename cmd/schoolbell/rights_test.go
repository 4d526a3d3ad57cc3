package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	centrifuge "github.com/centrifugal/centrifuge-go"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/provider/inbox"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/deliveries"
	"github.com/schoolbell/schoolbell/realtime/realtimetest/swarm"
)

// lapse is a fact that ends somebody's right to the student s1, or a decision.
type lapse struct {
	user, role string
	settings   string // more of the school's
	before     []fact // that the right follows from
	fact       fact   // zero: the tokens are revoked
	stays      []string
	marksIn    string // the class of the student's marks; 7a
}

// fact is an event by its type and data.
type fact struct {
	of   string
	data map[string]any
}

// The surfaces on which somebody reads of a student.
const (
	onREST, onTimeline, onRPC = "REST", "timeline", "RPC"
	inInbox, byLink           = "inbox", "signed link"
	waiting                   = "waiting message"
)

func lapses() map[string]lapse {
	today := domain.DateOf(time.Now().UTC()).String()
	assigned := fact{"staff.assigned", map[string]any{
		"staff_id": "t1", "name": "T", "role": "teacher", "class_ids": []string{"7a"},
	}}
	employed := fact{"staff.assigned", map[string]any{
		"staff_id": "t1", "name": "T", "role": "teacher", "class_ids": []string{},
	}}
	section := fact{"class.defined", map[string]any{"class_id": "S", "title": "S", "kind": "section"}}
	member := func(person, role string) fact {
		return fact{"membership.started", map[string]any{
			"membership_id": "m-" + person, "class_id": "S", "person_id": person, "role": role,
			"from": "2026-09-01",
		}}
	}
	ended := func(person string) fact {
		return fact{"membership.ended", map[string]any{"membership_id": "m-" + person, "to": today}}
	}
	withdrawn := fact{"student.withdrawn", map[string]any{"student_id": "s1", "on": today}}
	return map[string]lapse{
		"a guardian is unlinked": {user: "g1", role: "guardian", fact: fact{
			"guardian.unlinked", map[string]any{"guardian_id": "g1", "student_id": "s1", "on": today},
		}},
		"a guardian's tokens are revoked": {user: "g1", role: "guardian", stays: []string{waiting}},
		"a student leaves and the family reads on": {
			user: "g1", role: "guardian", fact: withdrawn,
			stays: []string{onREST, onTimeline, onRPC, inInbox, byLink, waiting},
		},
		"a student leaves and the family does not read on": {
			user: "g1", role: "guardian", fact: withdrawn, settings: `,"after_leaving":-1`,
		},
		"a student leaves their teacher": {
			user: "t1", role: "teacher", before: []fact{assigned}, fact: withdrawn,
			stays: []string{waiting},
		},
		"a teacher leaves": {user: "t1", role: "teacher", before: []fact{assigned}, fact: fact{
			"staff.left", map[string]any{"staff_id": "t1", "on": today},
		}},
		"a teacher's membership ends": {
			user: "t1", role: "teacher", marksIn: "S", fact: ended("t1"), stays: []string{waiting},
			before: []fact{employed, section, member("s1", "student"), member("t1", "teacher")},
		},
		"a student's membership ends": {
			user: "t1", role: "teacher", marksIn: "S", fact: ended("s1"), stays: []string{waiting},
			before: []fact{employed, section, member("s1", "student"), member("t1", "teacher")},
		},
	}
}

// reader reads of the student s1 on all surfaces at once.
type reader struct {
	*app
	lapse
	t                   *testing.T
	school, token, head string
	live                map[string]*swarm.Client
	official            *centrifuge.Client
	link                string
	waiting             string // the id of a message that waits for the end of quiet hours
}

// testRightsEndEverywhere has somebody read of a student on all surfaces, and ends the right to it.
func testRightsEndEverywhere(t *testing.T, a *app) {
	all := lapses()
	for i, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &reader{app: a, lapse: all[name], t: t, school: fmt.Sprintf("lapse-%d", i)}
			r.enrol()
			surfaces := r.surfaces()
			for name, sees := range surfaces {
				require.Eventually(t, sees, time.Minute, 10*time.Millisecond, name)
			}
			began := r.end()
			r.requireGone(surfaces, began)
			r.requireSilence()
		})
	}
}

func (r *reader) path(p string) string { return "/v1/schools/" + r.school + p }

// event is a fact as an event of the school.
func (r *reader) event(id string, f fact) map[string]any {
	e := event(r.school, id, "schoolbell."+f.of+".v1", "", f.data)
	delete(e, "subject") // it follows from the data
	return e
}

// enrol publishes what the right follows from, and what the user is sent about the student: a
// message with a document, and one that waits for the end of quiet hours.
func (r *reader) enrol() {
	r.token = bearer(r.t, r.school, r.user, r.role, time.Hour)
	r.head = bearer(r.t, r.school, "head", "admin", time.Hour)
	now := time.Now().UTC()
	resp, b := r.call(r.t, http.MethodPut, r.HTTP+r.path("/settings"), fmt.Sprintf(`{"name":"N",
		"quiet":{"from":%q,"to":%q},"rules":{"invoice":{"max_age":-1,"channels":["sms"]},
		"receipt":{"max_age":-1},"chronic_absence":{"max_age":-1},"announcement":{"max_age":-1}},"attendance":{"mode":"all"}%s}`,
		now.Add(-time.Hour).Format("15:04"), now.Add(3*time.Hour).Format("15:04"), r.settings),
		"Content-Type", "application/json", "If-Match", `"0"`)
	require.Equal(r.t, http.StatusOK, resp.StatusCode, "%s", b)
	class := "7a"
	if r.marksIn != "" {
		class = r.marksIn
	}
	events := []map[string]any{enrolled(r.school, 1)}
	events[0]["data"].(map[string]any)["on"] = "2025-09-01"
	events = append(events, r.event("linked", fact{"guardian.linked", map[string]any{
		"guardian_id": "g1", "student_id": "s1", "name": "G", "relation": "mother", "primary": true,
		"phone": "+33 6 39 98 00 01",
	}}))
	for i, f := range r.before {
		events = append(events, r.event(fmt.Sprintf("before-%d", i), f))
	}
	for day := range 10 { // as many as make the absence chronic
		events = append(events, r.event(fmt.Sprintf("mark-%d", day), fact{
			"attendance.marked", map[string]any{
				"student_id": "s1", "class_id": class, "date": fmt.Sprintf("2026-09-%02d", day+1),
				"session": "day", "status": "absent_excused",
			},
		}))
	}
	invoice := func(id string) map[string]any {
		return r.event("invoice-"+id, fact{"fee.invoiced", map[string]any{
			"invoice_id": id, "student_id": "s1", "year": "2026-2027", "term": "1",
			"category": "tuition", "amount": 5000, "currency": "EUR", "due_on": "2027-09-01",
		}})
	}
	r.publish(r.t, r.school, append(events, invoice("paid"), invoice("open"),
		r.event("payment", fact{"fee.payment_received", map[string]any{
			"payment_id": "p1", "invoice_id": "paid", "student_id": "s1", "amount": 5000,
			"currency": "EUR", "method": "card",
		}}),
		r.event("notice", fact{"announcement.posted", map[string]any{
			"announcement_id": "notice", "title": "T", "body": "B", "channels": []string{"push"},
			"audience": map[string]any{"roles": []string{"teacher"}}, "urgent": false,
		}}))...)
	cause := "invoice-open"
	if r.role == "teacher" {
		cause = "notice"
	}
	if !slices.Contains(r.stays, waiting) {
		r.waiting = r.planned(cause)
	}
}

// planned returns the id of the message to the user that waits because of an event, once it has
// waited for so long that whether it may still be sent is looked up.
func (r *reader) planned(cause string) (id string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		list := get[deliveries.List](r.t, r.app, r.head, r.path("/deliveries?event="+cause))
		for _, d := range list.Deliveries {
			if d.Recipient == r.user && time.Since(d.PlannedAt) > 2*time.Second {
				require.Equal(r.t, "planned", d.Status)
				id = d.ID
			}
		}
		return id != ""
	}, time.Minute, 50*time.Millisecond, "a message that waits")
	return id
}

// surfaces are the ways by which the user reads of the student, each with whether they still do.
func (r *reader) surfaces() map[string]func() bool {
	is200 := func(path string) func() bool {
		return func() bool {
			resp, _ := r.call(r.t, http.MethodGet, r.HTTP+r.path(path), "", "Authorization",
				"Bearer "+r.token)
			return resp.StatusCode == http.StatusOK
		}
	}
	at := r.startPosition(r.t, r.school)
	r.live = map[string]*swarm.Client{}
	all := map[string]func() bool{
		onREST: is200("/students/s1"), onTimeline: is200("/students/s1/timeline"),
		inInbox: func() bool { return len(r.messages()) > 0 },
	}
	for _, kind := range swarm.Kinds {
		c := &swarm.Client{
			Kind: kind, URL: r.HTTP, Token: r.token, School: r.school, Room: "student:s1", From: at,
			Once: true,
		}
		connect(r.t, c)
		r.live[string(kind)] = c
		all[string(kind)] = func() bool {
			s := c.State()
			return s.Connects > 0 && len(s.Ends) == 0 && !slices.Contains(s.Left, "student:s1")
		}
	}
	r.official = centrifuge.NewJsonClient(
		"ws"+strings.TrimPrefix(r.HTTP, "http")+"/connection/websocket",
		centrifuge.Config{Token: r.token})
	r.t.Cleanup(r.official.Close)
	require.NoError(r.t, r.official.Connect())
	all[onRPC] = func() bool {
		result, err := r.official.RPC(r.t.Context(), "student", []byte(`{"id":"s1"}`))
		return err == nil && strings.HasPrefix(string(result.Data), `{"status":200`)
	}
	if r.role == "guardian" {
		all[byLink] = func() bool {
			for _, m := range r.messages() {
				if r.link == "" {
					r.link = m.Document
				}
			}
			if r.link == "" {
				return false
			}
			resp, _ := r.call(r.t, http.MethodGet, r.link, "", "Authorization", "")
			return resp.StatusCode == http.StatusOK
		}
	}
	return all
}

func (r *reader) messages() []inbox.Message {
	resp, b := r.call(r.t, http.MethodGet, r.HTTP+r.path("/inbox"), "", "Authorization",
		"Bearer "+r.token)
	if resp.StatusCode != http.StatusOK {
		return nil
	}
	var page inbox.Page
	require.NoError(r.t, json.Unmarshal(b, &page))
	return page.Messages
}

// end ends the right, and returns since when the tables have it.
func (r *reader) end() (began time.Time) {
	r.t.Helper()
	if r.fact.of == "" {
		resp, b := r.call(r.t, http.MethodDelete, r.HTTP+r.path("/users/"+r.user+"/tokens"), "",
			"Authorization", "Bearer "+r.head)
		require.Equal(r.t, http.StatusNoContent, resp.StatusCode, "%s", b)
		return time.Now()
	}
	asHead := &app{Address: r.Address, token: r.head}
	asHead.get(r.t, r.path("/school"), r.publish(r.t, r.school, r.event("end", r.fact)), new(any))
	return time.Now()
}

// requireGone waits until each surface has closed, but for those that stay open, and prints how
// long that took.
func (r *reader) requireGone(surfaces map[string]func() bool, began time.Time) {
	r.t.Helper()
	if r.waiting != "" {
		r.awaken()
		surfaces[waiting] = func() bool { return r.status() != "cancelled" }
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	took := map[string]time.Duration{}
	for name, sees := range surfaces {
		if slices.Contains(r.stays, name) {
			continue
		}
		all.Go(func() {
			for time.Since(began) < time.Minute && r.t.Context().Err() == nil {
				if !sees() {
					mu.Lock()
					defer mu.Unlock()
					took[name] = time.Since(began).Round(time.Millisecond)
					return
				}
			}
		})
	}
	all.Wait()
	r.t.Logf("gone after: %v", took)
	for name, sees := range surfaces {
		if slices.Contains(r.stays, name) {
			require.True(r.t, sees(), "%s stays", name)
		} else {
			require.Contains(r.t, took, name, "it is still open")
			require.False(r.t, sees(), "%s is open again", name)
		}
	}
}

// awaken has the message that waits sent now.
func (r *reader) awaken() {
	r.t.Helper()
	resp, b := r.call(r.t, http.MethodPost, r.HTTP+r.path("/deliveries/"+r.waiting+"/retry"), "",
		"Authorization", "Bearer "+r.head)
	require.Equal(r.t, http.StatusOK, resp.StatusCode, "%s", b)
}

func (r *reader) status() string {
	status := get[deliveries.Story](r.t, r.app, r.head, r.path("/deliveries/"+r.waiting)).Status
	require.NotContains(r.t, []string{"sent", "delivered", "failed"}, status)
	return status
}

// requireSilence publishes facts about the student. Somebody who may hears them; the user does not.
func (r *reader) requireSilence() {
	r.t.Helper()
	control := &swarm.Client{
		Kind: swarm.SSE, URL: r.HTTP, Token: r.head, School: r.school, Room: "student:s1",
		From: r.startPosition(r.t, r.school),
	}
	connect(r.t, control)
	var marks []int64
	for _, status := range []string{"present", "late"} {
		at := parsed(r.t, r.publish(r.t, r.school, r.event("after-"+status, fact{
			"attendance.marked", map[string]any{
				"student_id": "s1", "class_id": "7a", "date": "2026-09-21", "session": status,
				"status": status,
			},
		})))
		requireReceives(r.t, control, at.Offset)
		marks = append(marks, at.Offset)
	}
	for name, c := range r.live {
		for _, offset := range marks {
			require.NotContains(r.t, c.State().Offsets, offset, name)
		}
	}
}
