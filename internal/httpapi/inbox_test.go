package httpapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
	"github.com/schoolbell/schoolbell/consumers/provider/inbox"
	"github.com/schoolbell/schoolbell/consumers/provider/outbox"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// announced is a delivery of an announcement.
func announced(id, school, user string, channel consumers.Channel) *consumers.Delivery {
	return &consumers.Delivery{
		ID: id, School: school, Recipient: user, Channel: channel, Address: "+22501020304",
		Language: "en", Template: wording.Announcement,
		Params: wording.Params{Sender: "North", Title: "Title " + id, Body: "Body " + id}.Encode(),
	}
}

func (s *stack) writer() provider.Writer {
	s.t.Helper()
	book, err := wording.Open()
	require.NoError(s.t, err)
	return provider.Writer{Catalog: book}
}

func TestUsersReadTheirOwnInbox(t *testing.T) {
	t.Parallel()
	s := full(t)
	letter := announced("d1", "north", "g1", consumers.InApp)
	letter.Document = &consumers.Document{SHA256: "abc"}
	for _, a := range inbox.New(s.jobs.Conns(), s.writer()).SendBatch(t.Context(),
		[]*consumers.Delivery{
			letter, announced("d2", "north", "g1", consumers.InApp),
			announced("d3", "north", "g2", consumers.InApp),
			announced("d4", "south", "g1", consumers.InApp),
		}) {
		require.NoError(t, a.Err)
	}
	const path = "/v1/schools/north/inbox"
	g1 := token(t, "north", "g1", "guardian")
	page := decoded[inbox.Page](t, s.get(path+"?limit=1", g1))
	require.Equal(t, 2, page.Unread)
	require.Equal(t, "d2", page.Messages[0].ID)
	page = decoded[inbox.Page](t, s.get(path+"?limit=1&after="+page.Next, g1))
	require.Equal(t, "d1", page.Messages[0].ID)
	require.Equal(t, "https://school.example/documents/abc", page.Messages[0].Document)
	require.Empty(t, page.Next)

	require.Equal(t, http.StatusNoContent,
		s.do(http.MethodPost, path+"/d1/read", g1, "").StatusCode)
	require.Equal(t, http.StatusNoContent,
		s.do(http.MethodPost, path+"/d1/read", g1, "").StatusCode)
	page = decoded[inbox.Page](t, s.get(path+"?unread=true", g1))
	require.Equal(t, 1, page.Unread)
	require.Equal(t, "d2", page.Messages[0].ID)
	require.Equal(t, http.StatusNoContent, s.do(http.MethodPost, path+"/read", g1, "").StatusCode)
	require.Zero(t, decoded[inbox.Page](t, s.get(path, g1)).Unread)
	for query, parameter := range map[string]string{
		"limit=0":   "query.limit",
		"limit=101": "query.limit", "after=!": "query.after", "unread=perhaps": "query.unread",
	} {
		require.Equal(t, parameter, s.get(path+"?"+query, g1).problem(t).Errors[0].Parameter)
	}

	t.Run("P10", func(t *testing.T) {
		for _, other := range []string{"d3", "d4", "d9"} {
			require.Equal(t, http.StatusNotFound,
				s.do(http.MethodPost, path+"/"+other+"/read", g1, "").problem(t).Status, other)
		}
		require.Equal(t, 1, decoded[inbox.Page](t,
			s.get(path, token(t, "north", "g2", "guardian"))).Unread,
			"what others have read is not read")
		require.Empty(t, decoded[inbox.Page](t,
			s.get(path, token(t, "north", "ada", "admin"))).Messages,
			"administrators read their own")
		require.Empty(t,
			decoded[inbox.Page](t, s.get(path, token(t, "*", "g3", "operator"))).Messages)
		require.Equal(t, http.StatusForbidden,
			s.get(path, token(t, "south", "g1", "guardian")).problem(t).Status)
	})
}

func TestDevicesSubscribe(t *testing.T) {
	t.Parallel()
	s := full(t)
	const path = "/v1/schools/north/push"
	g1 := token(t, "north", "g1", "guardian")
	require.Equal(t, httpapi.PushKey{Key: "a-public-key"},
		decoded[httpapi.PushKey](t, s.get(path+"/key", g1)))
	// A browser's, as its toJSON() writes it (RFC 8291, appendix A).
	subscription := `{"endpoint":"https://push.example/x?y=1","expirationTime":null,"keys":{"auth":"BTBZMqHH6r4Tts7J_aSIgg",` +
		`"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"}}`
	post := func(body string) response {
		return s.do(http.MethodPost, path+"/subscriptions", g1, body, "Content-Type",
			"application/json")
	}
	count := func() (n int) {
		require.NoError(t, s.jobs.Conns().QueryRow(t.Context(),
			`SELECT count(*) FROM push_subscriptions WHERE school = 'north' AND user_id = 'g1'`).Scan(&n))
		return n
	}
	require.Equal(t, http.StatusNoContent, post(subscription).StatusCode)
	require.Equal(t, http.StatusNoContent, post(subscription).StatusCode)
	require.Equal(t, 1, count())
	for range 2 {
		r := s.do(http.MethodDelete,
			path+"/subscriptions?endpoint="+url.QueryEscape("https://push.example/x?y=1"), g1, "")
		require.Equal(t, http.StatusNoContent, r.StatusCode)
		require.Zero(t, count())
	}
	for _, bad := range []struct{ body, pointer string }{
		{
			strings.Replace(subscription, "https://push.example", "https://127.0.0.1", 1),
			"/endpoint",
		},
		{strings.Replace(subscription, "https:", "http:", 1), "/endpoint"},
		{strings.Replace(subscription, "BCVxsr7N", "????", 1), "/keys"},
		{strings.Replace(subscription, `"auth"`, `"aut"`, 1), "/keys"},
		{strings.Replace(subscription, `null`, `"soon"`, 1), "/expirationTime"},
	} {
		r := post(bad.body)
		require.Equal(t, http.StatusUnprocessableEntity, r.StatusCode, string(r.body))
		require.Equal(t, bad.pointer, *r.problem(t).Errors[0].Pointer)
	}
	require.Equal(t, http.StatusUnprocessableEntity,
		s.do(http.MethodDelete, path+"/subscriptions", g1, "").problem(t).Status)
	require.Zero(t, count())
}

func TestTheOutboxShowsWhatWouldHaveBeenSent(t *testing.T) {
	t.Parallel()
	s := full(t)
	for _, a := range outbox.New(s.jobs.Conns(), s.writer()).SendBatch(t.Context(),
		[]*consumers.Delivery{
			announced("d1", "north", "g1", consumers.SMS),
			announced("d2", "north", "g1", consumers.Email),
			announced("d3", "south", "g1", consumers.SMS),
		}) {
		require.NoError(t, a.Err)
	}
	card := s.planned("north", "e1",
		consumers.Delivery{Recipient: "s-1", Channel: consumers.PDF})[0]
	_, err := s.jobs.Conns().Exec(t.Context(), `UPDATE ledger SET state = 'rendered',
		document = '{"Kind":"report_card","StudentID":"s-1","SHA256":"abc","Bytes":20000}' WHERE id = $1`, card)
	require.NoError(t, err)

	admin := token(t, "north", "ada", "admin")
	box := decoded[httpapi.Outbox](t, s.get("/v1/schools/north/outbox", admin))
	require.Len(t, box.Messages, 2)
	require.Equal(t, "Body d2",
		strings.TrimSpace(box.Messages[0].Body[strings.Index(box.Messages[0].Body, "Body"):])[:7])
	require.Equal(t, 1, box.Messages[1].Segments)
	require.Len(t, box.Documents, 1)
	require.Equal(t, "https://school.example/documents/abc?reader=north.ada", box.Documents[0].Link)
	require.Equal(t, "report_card", box.Documents[0].Kind)
	require.Equal(t, map[consumers.Channel]int{
		consumers.SMS: 1, consumers.Email: 1,
		consumers.PDF: 1,
	}, box.Counts)
	texts := decoded[httpapi.Outbox](t, s.get("/v1/schools/north/outbox?channel=sms", admin))
	require.Len(t, texts.Messages, 1)
	require.Empty(t, texts.Documents)
	papers := decoded[httpapi.Outbox](t, s.get("/v1/schools/north/outbox?channel=pdf", admin))
	require.Len(t, papers.Documents, 1)
	require.Empty(t, papers.Messages)
	for _, role := range []string{"teacher", "guardian", "student", "events:read"} {
		require.Equal(t, http.StatusForbidden,
			s.get("/v1/schools/north/outbox", token(t, "north", "g1", role)).problem(t).Status,
			role)
	}

	set := full(t, func(_ *httpapi.Config, d *httpapi.Deps) {
		d.Consumers.Outbox, d.Consumers.PushKey, d.Consumers.SMSCallback = false, "", nil
	})
	for _, path := range []string{
		"/v1/schools/north/outbox", "/outbox",
		"/v1/schools/north/push/key",
	} {
		require.Equal(t, http.StatusNotFound, set.get(path, admin).problem(t).Status,
			"%s is there only when it is used", path)
	}
	require.Equal(t, http.StatusNotFound,
		set.do(http.MethodPost, "/v1/callbacks/sms", "", "").problem(t).Status)
}
