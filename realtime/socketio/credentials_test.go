package socketio_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/socketio"
)

// Not every client can send a list: that for Java has nothing but text.
func TestRoomsMayBeText(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, nil)
	s := serve(t, socketio.NewRooms(socketio.Config{Access: access}, n.Hub))
	for rooms, want := range map[string]string{
		`"class:a"`:                     `"class:a"`,
		`"class:a,class:b"`:             `"class:a","class:b"`,
		`"class:a, student:b , school"`: `"class:a","student:b","school"`,
		`"class:a\nclass:b\n"`:          `"class:a","class:b"`,
		`"class:a,b,class:c"`:           `"class:a,b","class:c"`,
		`["class:a,b","class:c"]`:       `"class:a,b","class:c"`,
	} {
		c := s.Dial(t)
		exchange(t, c, []string{`40{"token":"ann:admin","rooms":` + rooms + `}`}, `40{"sid":"…`)
		exchange(t, c, []string{`420["leave","class:none"]`}, `42["position",…`,
			`430[{"ok":true,"rooms":["user:ann","role:admin",`+want+`],"position":…`)
		c = s.Dial(t)
		exchange(t, c, []string{`40{"token":"ann:admin","rooms":""}`}, `40{"sid":"…`)
		exchange(t, c, []string{`420["join",` + rooms + `]`}, `42["position",…`,
			`430[{"ok":true,"rooms":["user:ann","role:admin",`+want+`],"position":…`)
	}
}

// Errors are for the developer of a client, who need not know what this server is written in.
func TestErrorsOfTheAuthPayload(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, nil)
	s := serve(t, socketio.NewRooms(socketio.Config{Access: access}, n.Hub))
	for auth, detail := range map[string]string{
		`{"token":5}`:             `/token must be text`,
		`{"token":{"a":1}}`:       `/token must be text`,
		`{"school":[]}`:           `/school must be text`,
		`{"rooms":7}`:             `/rooms: want a room or a list of rooms`,
		`{"rooms":{"a":"b"}}`:     `/rooms: want a room or a list of rooms`,
		`{"rooms":[["class:a"]]}`: `/rooms: want a room or a list of rooms`,
		`{"rooms":"kitchen"}`: `/rooms: room \"kitchen\": want school, or one of user, role, class, ` +
			`student and dashboard with an id, for example class:7a`,
		`{"from":7}`:      `/from must be a position, for example 7:1042`,
		`{"from":"here"}`: `/from must be a position, for example 7:1042`,
	} {
		exchange(t, s.Dial(t), []string{"40" + auth}, `44{"message":"bad request","data":{"code":3501,`+
			`"detail":"malformed auth payload: `+detail+`"}}`)
	}
	c := s.Dial(t)
	exchange(t, c, []string{`40{"token":"ann:admin"}`}, `40{"sid":"…`)
	for request, message := range map[string]string{
		`["join",7]`:                    "malformed request: want a room or a list of rooms",
		`["join",null]`:                 "malformed request: want a room or a list of rooms",
		`["join",{"room":"class:a"}]`:   "malformed request: want a room or a list of rooms",
		`["join"]`:                      "malformed request: a room is required",
		`["join","class:a",{"from":7}]`: "malformed request: from is a position, for example 7:1042-k3f9a",
	} {
		exchange(t, c, []string{"421" + request},
			`431[{"ok":false,"error":{"code":"bad_request","message":"`+message+`"}}]`)
	}
}

// One room that is no longer the client's does not cost it the others.
func TestARoomThatIsLostDoesNotEndTheConnection(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, nil)
	s := serve(t, socketio.NewRooms(socketio.Config{Access: access}, n.Hub))
	at := realtimetest.Publish(t, n.Log, realtimetest.School, "1", realtimetest.Notice("1", "a"))
	c := s.Dial(t)
	exchange(t, c, []string{`40{"token":"tom:teacher","rooms":["dashboard:fees","class:a"]}`},
		`40{"sid":"…`, `42["left",{"room":"class:a"}]`,
		`42["position",{"position":"…`)

	// Even the last one, when a place is beyond recovery.
	pid := n.Seal("tom", "another school", realtime.Resume{
		Position: domain.LogPosition{Position: at},
	}) + ".x"
	c = s.Dial(t)
	exchange(t, c, []string{`40{"token":"tom:teacher","rooms":["class:a"],"pid":"` + pid + `"}`},
		`40{"sid":"…`, `42["resync",…`, `42["position",…`, `42["left",{"room":"class:a"}]`)
}

// A client whose connection was lost without notice counts once, however often it comes back, and
// whether its place could be recovered or not.
func TestASessionThatReturnsTakesItsOwnPlace(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, func(c *realtime.Config) { c.MaxPerUser = 1 })
	s := serve(t, socketio.NewRooms(socketio.Config{Access: access}, n.Hub))
	connect := func(auth string) (pid string) {
		t.Helper()
		c := s.Dial(t)
		exchange(t, c, []string{`40{"token":"ann:admin"` + auth + `}`})
		f, err := c.Next()
		require.NoError(t, err)
		require.Contains(t, string(f.Payload), `"pid":"`)
		return pidOf(string(f.Payload))
	}
	pid := connect("")
	first := pid
	for range 10 {
		pid = connect(`,"pid":"` + pid + `","offset":"1:-1"`)
		require.Equal(t, first, pid)
	}
	for range 10 { // of another log
		next := connect(`,"pid":"` + pid + `","offset":"1:99-elsewhere"`)
		require.NotEqual(t, pid, next)
		pid = next
	}
	stranger := s.Dial(t)
	exchange(t, stranger, []string{`40{"token":"ann:admin"}`})
	expectClose(t, stranger, realtime.CloseTooMany.Code)
	require.True(t, realtime.CloseTooMany.Reconnect(), "there will be room")
	members, err := n.Presence(t.Context(), realtimetest.School, domain.Room{
		Kind: domain.RoomUser, ID: "ann",
	})
	require.NoError(t, err)
	require.Len(t, members, 1)
}

// pidOf returns the session id in the reply to a connect packet.
func pidOf(packet string) string {
	return pidPattern.FindStringSubmatch(packet)[1]
}

var pidPattern = regexp.MustCompile(`"pid":"([^"]+)"`)
