package socketio_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/socketio"
)

// The wire format of an event, which clients depend on.
func TestGoldenEvent(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, nil)
	s := serve(t, socketio.NewRooms(socketio.Config{Access: access}, n.Hub))
	c := s.Dial(t)
	exchange(t, c, []string{`40{"token":"ann:admin","rooms":["student:s-12"]}`}, `40{"sid":"…`)
	rec, err := cloudevents.Encode(&domain.Envelope{
		ID: "e-1", Source: "/register/7a", School: realtimetest.School,
		Time: time.Date(2026, 9, 1, 8, 5, 0, 0, time.UTC), Actor: "tom",
		Author: domain.Author{Subject: "token:not-for-rooms", TokenID: "nor-this"},
		Data: &attendance.Marked{
			StudentID: "s-12", ClassID: "7a", Date: domain.NewDate(2026, 9, 1), Session: "am",
			Status: attendance.Late, Reason: "bus, \"again\"",
		},
	})
	require.NoError(t, err)
	at, err := n.Log.Append(t.Context(), realtimetest.School, []eventlog.Record{rec})
	require.NoError(t, err)
	exchange(t, c, nil, `42["schoolbell.attendance.marked.v1",{"specversion":"1.0","id":"e-1","source":"/register/7a",`+
		`"type":"schoolbell.attendance.marked.v1","time":"2026-09-01T08:05:00Z","subject":"s-12","school":"greenfield","actor":"tom",`+
		`"position":"`+at.String()+
		`","datacontenttype":"application/json","data":{"student_id":"s-12","class_id":"7a",`+
		`"date":"2026-09-01","session":"am","status":"late","reason":"bus, \"again\""}},"`+
		at.String()+`"]`)

	exchange(t, c, []string{`421["join","class:7a"]`},
		`42["position",{"position":"`+at.String()+
			`","rooms":["user:ann","role:admin","student:s-12","class:7a"]},"`+at.String()+
			`\nstudent:s-12\nclass:7a"]`,
		`431[{"ok":true,"rooms":["user:ann","role:admin","student:s-12","class:7a"],"position":"`+
			at.String()+`"}]`)
}

// A client without events is sent its position from time to time, so that it never reconnects with
// an offset that is no longer served.
func TestP6_ClientOfQuietRoomsIsSentItsPosition(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, nil)
	cfg := socketio.Config{Access: access}
	cfg.Engine.PingInterval = 50 * time.Millisecond
	s := serve(t, socketio.NewRooms(cfg, n.Hub))
	c := s.Dial(t)
	exchange(t, c, []string{`40{"token":"ann:admin"}`}, `40{"sid":"…`)
	records := make([]eventlog.Record, 6000)
	for i := range records {
		records[i] = realtimetest.Record(t, realtimetest.School, fmt.Sprint(i),
			realtimetest.Notice(fmt.Sprint(i), "a"))
	}
	_, err := n.Log.Append(t.Context(), realtimetest.School, records)
	require.NoError(t, err)
	for {
		f, err := c.Next()
		require.NoError(t, err)
		if string(f.Payload) != "2" {
			require.Contains(t, string(f.Payload), `42["position",{"position":`)
			return
		}
		exchange(t, c, []string{"3"})
	}
}

// When a session resumes, a room that the client may no longer be in is reported as left, and the
// session continues without it.
func TestP10_ResumedRoomsAreNoRights(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, nil)
	s := serve(t, socketio.NewRooms(socketio.Config{Access: access}, n.Hub))
	at := realtimetest.Publish(t, n.Log, realtimetest.School, "1", realtimetest.Notice("1", "a"))
	pid := n.Seal("tom", realtimetest.School, realtime.Resume{
		Position: domain.LogPosition{Position: at},
	}) + ".x"
	c := s.Dial(t)
	exchange(t, c, []string{`40{"token":"tom:teacher","pid":"` + pid + `","offset":"` +
		at.String() + `\nclass:a\nrole:teacher"}`},
		`40{"sid":"…`, `42["left",{"room":"class:a"}]`,
		`42["position",{"position":"`+at.String()+`","rooms":["user:tom","role:teacher"]},"`+
			at.String()+`"]`)

	// The session id of another user is refused.
	c = s.Dial(t)
	exchange(t, c, []string{`40{"token":"ann:admin","pid":"` + pid + `","offset":"` + at.String() +
		`"}`}, `40{"sid":"…`, `42["resync",…`)
}
