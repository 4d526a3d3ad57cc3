package main

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/provider/inbox"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/projections/deliveries"
)

// get reads a response into v.
func get[T any](t *testing.T, a *app, token, path string) (v T) {
	t.Helper()
	resp, b := a.call(t, http.MethodGet, a.HTTP+path, "", "Authorization", "Bearer "+token)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", path, b)
	require.NoError(t, json.Unmarshal(b, &v), "%s", b)
	return v
}

// TestAFamilyIsNotifiedAndTheSchoolSeesHow follows an absence and a payment from the event to
// what a guardian receives live, reads and opens, and to what the administration sees of it.
func TestAFamilyIsNotifiedAndTheSchoolSeesHow(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	admin, guardian := bearer(t, "north", "ada", "admin", time.Hour), bearer(
		t, "north", "g1", "guardian", time.Hour,
	)
	const school = "/v1/schools/north"

	resp, b := a.call(
		t,
		http.MethodPut,
		a.HTTP+school+"/settings",
		`{"name":"North","rules":{"absence":{"max_age":-1},"receipt":{"max_age":-1}}}`,
		"Authorization",
		"Bearer "+admin,
		"Content-Type",
		"application/json",
		"If-Match",
		`"0"`,
	)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", b)
	received := make(chan string, 100)
	subscribe(t, a, school+"/stream", guardian, received)

	a.publish(t, "north", enrolled("north", 1),
		event("north", "linked", "schoolbell.guardian.linked.v1", "s1", map[string]any{
			"guardian_id": "g1", "student_id": "s1", "name": "Annabella", "relation": "mother", "primary": true,
			"phone": "+33 6 39 98 00 01", "email": "annabella@example.org", "language": "en",
		}),
		marked("north", 1, "absent_unexcused"),
		event("north", "invoiced", "schoolbell.fee.invoiced.v1", "s1", map[string]any{
			"invoice_id": "i1", "student_id": "s1", "year": "2026-2027", "term": "1", "category": "tuition", "amount": 5000, "currency": "EUR", "due_on": "2027-09-01",
		}),
		event("north", "paid", "schoolbell.fee.payment_received.v1", "s1", map[string]any{
			"payment_id": "p1", "invoice_id": "i1", "student_id": "s1", "amount": 5000, "currency": "EUR", "method": "card",
		}))

	var arrived string
	require.Eventually(t, func() bool {
		select {
		case line := <-received:
			if strings.Contains(line, "schoolbell.delivery.delivered.v1") &&
				strings.Contains(line, `"channel":"in_app"`) {
				arrived = line
			}
		default:
		}
		return arrived != ""
	}, 30*time.Second, 5*time.Millisecond, "a push to the user's room")
	box := get[inbox.Page](t, a, guardian, school+"/inbox")
	require.Positive(t, box.Unread)
	require.Contains(t, arrived, box.Messages[0].ID, "what was pushed is what is read")
	require.True(t, strings.HasPrefix(box.Messages[0].Document, a.HTTP+"/documents/"),
		"%s leads to the port that was opened", box.Messages[0].Document)
	resp, b = a.call(t, http.MethodGet, box.Messages[0].Document, "", "Authorization", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "%PDF-", string(b[:5]))
	require.Empty(t, get[inbox.Page](t, a, admin, school+"/inbox").Messages)

	var list deliveries.List
	require.Eventually(t, func() bool {
		list = get[deliveries.List](t, a, admin, school+"/deliveries?event=marked-s1")
		return len(list.Deliveries) == 1 && list.Deliveries[0].Status == "sent"
	}, 30*time.Second, 20*time.Millisecond)
	require.Equal(
		t,
		&deliveries.EventTotals{
			Deliveries: 1,
			ByStatus:   map[string]int64{"sent": 1},
			ByChannel:  map[string]int64{"sms": 1},
		},
		list.Totals,
	)
	text := list.Deliveries[0]
	require.Equal(t, []string{"sms", "g1", "absence", "outbox"},
		[]string{text.Channel, text.Recipient, text.Rule, text.Provider})
	story := get[deliveries.Story](t, a, admin, school+"/deliveries/"+text.ID)
	var steps []string
	for _, s := range story.Steps {
		steps = append(steps, s.What)
	}
	require.Equal(
		t, []string{"planned", "sent", "log: sent"}, steps, "from the cause to the receipt",
	)
	require.Equal(t, "schoolbell.attendance.marked.v1", story.Plan.Event.Type)

	outbox := get[httpapi.Outbox](t, a, admin, school+"/outbox")
	require.Equal(t, 1, outbox.Counts["sms"])
	require.Len(t, outbox.Documents, 1)
	resp, _ = a.call(t, http.MethodGet, outbox.Documents[0].Link, "", "Authorization", "")
	require.Equal(t, http.StatusOK, resp.StatusCode, "the administration opens it as well")

	_, job := a.call(t, http.MethodGet, a.HTTP+"/v1/operations/deliveries/"+text.ID, "",
		"Authorization", "Bearer "+bearer(t, "*", "ops", "operator", time.Hour))
	code, shown, _ := command(t,
		append([]string{"jobs", "show", text.ID, "--json"}, a.remote()...)...)
	require.Equal(t, exitDone, code)
	require.JSONEq(t, shown, string(job), "the command and the API say the same")

	t.Run("P10", func(t *testing.T) {
		for _, d := range get[deliveries.List](t, a, guardian, school+"/deliveries").Deliveries {
			require.Equal(t, "g1", d.Recipient)
			require.Empty(t, d.Provider)
		}
		teacher := bearer(t, "north", "t-1", "teacher", time.Hour)
		require.Empty(t, get[deliveries.List](t, a, teacher, school+"/deliveries").Deliveries,
			"everybody may read what they were sent themselves")
		other := bearer(t, "north", "g2", "guardian", time.Hour)
		require.Empty(t, get[deliveries.List](t, a, other, school+"/deliveries").Deliveries)
		require.Empty(t, get[inbox.Page](t, a, other, school+"/inbox").Messages)
		for path, want := range map[string]int{
			"/deliveries/" + text.ID: http.StatusNotFound, "/outbox": http.StatusForbidden, "/settings": http.StatusForbidden,
			"/deliveries?recipient=" + url.QueryEscape("g1"): http.StatusOK,
		} {
			resp, b := a.call(
				t, http.MethodGet, a.HTTP+school+path, "", "Authorization", "Bearer "+other,
			)
			require.Equal(t, want, resp.StatusCode, path)
			require.NotContains(t, string(b), text.ID, path)
		}
	})

	resp, b = a.call(t, http.MethodDelete, a.HTTP+school+"/users/g1/tokens", "",
		"Authorization", "Bearer "+admin)
	require.Equal(t, http.StatusNoContent, resp.StatusCode, "%s", b)
	resp, _ = a.call(t, http.MethodGet, box.Messages[0].Document, "", "Authorization", "")
	require.Equal(t, http.StatusForbidden, resp.StatusCode, "links end with the reader's access")
	require.Eventually(t, func() bool {
		reads := a.audited(t, "north", "g1")
		followed := map[bool]int64{}
		for what, n := range reads {
			if strings.HasPrefix(what, "document:") && strings.Contains(what, " signed link") {
				followed[strings.HasSuffix(what, "refused")] += n
			}
		}
		return followed[false] == 1 && followed[true] == 1 && reads["room:user:g1 room joined"] == 1 &&
			reads["/inbox REST"] == 1
	}, 20*time.Second, 50*time.Millisecond, "%v", a.audited(t, "north", "g1"))
	require.EqualValues(t, 1, a.audited(t, "north", "ada")["document:"+outbox.Documents[0].SHA256+
		" signed link"])
}

// subscribe reads a stream until the test ends, line by line.
func subscribe(t *testing.T, a *app, path, token string, received chan<- string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.HTTP+path, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan(), "the stream is open")
	done := make(chan struct{})
	t.Cleanup(func() { <-done }) // the context has ended by then
	go func() {
		defer close(done)
		defer resp.Body.Close()
		for lines.Scan() {
			select {
			case received <- lines.Text():
			default: // the test has read enough
			}
		}
	}()
}
