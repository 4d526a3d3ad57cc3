package scenario_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	client "github.com/centrifugal/centrifuge-go"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/centrifuge"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/socketio"
	"github.com/schoolbell/schoolbell/realtime/sse"
)

// roomTable reads the table of rooms in docs/SECURITY.md: what each role may, by the kind of room.
func roomTable(t *testing.T) (roles []string, rows map[string]map[string]string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/SECURITY.md")
	require.NoError(t, err)
	_, table, _ := strings.Cut(string(text), "| Room |")
	table, _, _ = strings.Cut(table, "\n\n")
	lines := strings.Split(table, "\n")
	for name := range strings.SplitSeq(strings.Trim(lines[0], "| "), "|") {
		roles = append(roles, strings.TrimSpace(name))
	}
	rows = map[string]map[string]string{}
	for _, line := range lines[2:] {
		columns := strings.Split(strings.Trim(line, "|"), "|")
		require.Len(t, columns, len(roles)+1, line)
		row := map[string]string{}
		for i, role := range roles {
			row[role] = strings.TrimSpace(columns[i+1])
		}
		rows[strings.Trim(columns[0], " `")] = row
	}
	return roles, rows
}

// joiner tries to be in a room, over one protocol.
type joiner func(t *testing.T, url, token, room string) (admitted bool)

var protocols = map[string]joiner{
	"sse": func(t *testing.T, url, token, room string) bool {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet,
			url+"/v1/schools/"+rt.School+"/stream?rooms="+room, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Contains(t, []int{http.StatusOK, http.StatusForbidden}, res.StatusCode)
		return res.StatusCode == http.StatusOK
	},
	"centrifuge": func(t *testing.T, url, token, room string) bool {
		c := client.NewJsonClient("ws"+strings.TrimPrefix(url, "http")+"/connection/websocket",
			client.Config{Token: token})
		defer c.Close()
		admitted := make(chan bool, 10)
		c.OnSubscribed(func(e client.ServerSubscribedEvent) { // by the server
			if e.Channel == room {
				admitted <- true
			}
		})
		s, err := c.NewSubscription(room)
		require.NoError(t, err)
		s.OnSubscribed(func(client.SubscribedEvent) { admitted <- true })
		s.OnUnsubscribed(func(e client.UnsubscribedEvent) {
			if e.Code != alreadySubscribed {
				admitted <- false
			}
		})
		require.NoError(t, s.Subscribe())
		require.NoError(t, c.Connect())
		return <-admitted
	},
	"socket.io": func(t *testing.T, url, token, room string) bool {
		send := func(method, session, body string) string {
			r, err := http.NewRequestWithContext(t.Context(), method,
				url+"/socket.io/?EIO=4&transport=polling"+session, strings.NewReader(body))
			require.NoError(t, err)
			res, err := http.DefaultTransport.RoundTrip(r)
			require.NoError(t, err)
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, res.StatusCode, string(b))
			return string(b)
		}
		_, rest, _ := strings.Cut(send(http.MethodGet, "", ""), `"sid":"`)
		id, _, _ := strings.Cut(rest, `"`)
		send(http.MethodPost, "&sid="+id, `40{"token":"`+token+`","rooms":["`+room+`"]}`)
		reply := send(http.MethodGet, "&sid="+id, "")
		require.Contains(t, []string{"40", "44"}, reply[:2], reply)
		send(http.MethodPost, "&sid="+id, "1")
		return strings.HasPrefix(reply, "40")
	},
}

// alreadySubscribed is the protocol's code for a room that the server has joined.
const alreadySubscribed = 105

// Every kind of room, for every role and over every protocol, about what is the caller's own and
// about others, against the table in docs/SECURITY.md.
func TestP10_RoomsOfEachRoleOverEachProtocol(t *testing.T) {
	t.Parallel()
	own := access.Directory{
		Teaches: []string{"7A"}, Pupils: []string{"own"}, Children: []string{"own"},
		Classes: []string{"7A"},
	}
	n := rt.Start(t, nil, func(c *realtime.Config) {
		c.Rights = func(context.Context, string, string, domain.Position) (realtime.Grants, error) {
			return realtime.Grants{Directory: own}, nil
		}
		c.MaxPerUser = 1000
	})
	all := rt.Access()
	cf := centrifuge.New(centrifuge.Config{Hub: n.Hub, Access: all})
	sio := socketio.NewRooms(socketio.Config{Access: all}, n.Hub)
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", cf)
	mux.Handle("/socket.io/", sio)
	mux.Handle("GET /v1/schools/{school}/stream", sse.Handler(sse.Config{Hub: n.Hub, Access: all}))
	web := httptest.NewServer(mux)
	t.Cleanup(func() {
		require.NoError(t, sio.Shutdown(context.WithoutCancel(t.Context())))
		n.Kill()
		web.CloseClientConnections()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		web.Close()
	})

	roles, rows := roomTable(t)
	require.Len(t, rows, 6, "one row for each kind of room")
	mine := map[string]string{
		"user:{sub}": "user:{sub}", "role:{role}": "role:{role}", "class:{id}": "class:7A",
		"student:{id}": "student:own", "school": "school",
		"dashboard:{projection}": "dashboard:fees",
	}
	others := map[string]string{
		"user:{sub}": "user:oth", "role:{role}": "role:others", "class:{id}": "class:8B",
		"student:{id}": "student:oth", "school": "school",
		"dashboard:{projection}": "dashboard:fees",
	}
	for kind, row := range rows {
		for _, role := range roles {
			for protocol, join := range protocols {
				user := "me"
				if role == "student" {
					user = "own"
				}
				room := strings.NewReplacer("{sub}", user, "{role}", role).Replace(mine[kind])
				require.NotEmpty(t, room, kind)
				token := user + " " + role
				require.Equal(t, row[role] != "–", join(t, web.URL, token, room),
					"%s as %s over %s", room, role, protocol)
				require.Equal(t, row[role] == "all", join(t, web.URL, token, others[kind]),
					"%s as %s over %s", others[kind], role, protocol)
			}
		}
	}
}

// Who is in a room is named to staff only; how many there are is for all its members.
func TestP10_PresenceNamesMembersToStaffOnly(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) {
		c.Rights = func(context.Context, string, string, domain.Position) (realtime.Grants, error) {
			return realtime.Grants{Directory: access.Directory{
				Teaches: []string{"7A"}, Children: []string{"me"}, Classes: []string{"7A"},
			}}, nil
		}
	})
	web := httptest.NewServer(centrifuge.New(centrifuge.Config{Hub: n.Hub, Access: rt.Access()}))
	t.Cleanup(func() { n.Kill(); web.CloseClientConnections(); web.Close() })
	for role, named := range map[string]bool{
		"admin": true, "office": true, "teacher": true, "guardian": false, "student": false,
	} {
		c := client.NewJsonClient("ws"+strings.TrimPrefix(web.URL, "http"),
			client.Config{Token: "me " + role})
		s, err := c.NewSubscription("class:7A")
		require.NoError(t, err)
		subscribed := make(chan struct{}, 1)
		s.OnSubscribed(func(client.SubscribedEvent) { subscribed <- struct{}{} })
		require.NoError(t, s.Subscribe())
		require.NoError(t, c.Connect())
		<-subscribed
		stats, err := s.PresenceStats(t.Context())
		require.NoError(t, err, role)
		require.Positive(t, stats.NumClients, role)
		members, err := s.Presence(t.Context())
		if named {
			require.NoError(t, err, role)
			require.NotEmpty(t, members.Clients, role)
		} else {
			var refused *client.Error
			require.ErrorAs(t, err, &refused, role)
			require.EqualValues(t, 103, refused.Code, role)
		}
		c.Close()
	}
}
