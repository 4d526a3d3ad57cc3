package socketio_test

import (
	"fmt"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/announcement"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/socketio"
)

// client is the project's own socket.io-client, on Node.
type client struct {
	*testing.T
	script *realtimetest.Script
}

// sight is something that a client has observed.
type sight struct {
	Saw       string `json:"saw"`
	ID        string `json:"id"`
	Name      string `json:"name"`
	Reason    string `json:"reason"`
	Code      int    `json:"code"`
	Recovered bool   `json:"recovered"`
	Transport string `json:"transport"`
	Args      []any  `json:"args"`
}

type options map[string]any

// open starts a client. Further options are those of the library.
func open(t *testing.T, url string, auth options, more options) *client {
	t.Helper()
	source, err := os.ReadFile("testdata/client.mjs")
	require.NoError(t, err)
	c := &client{t, realtimetest.JavaScript(t, string(source))}
	all := options{"auth": auth}
	maps.Copy(all, more)
	c.send(options{"do": "open", "url": url, "options": all})
	return c
}

func (c *client) send(command options) {
	c.Helper()
	line, err := json.Marshal(command)
	require.NoError(c, err)
	c.script.Send(string(line))
}

// next returns the next observation of the client.
func (c *client) next() (s sight) {
	c.Helper()
	require.NoError(c, json.Unmarshal([]byte(c.script.Next("saw")), &s))
	return s
}

func (c *client) see(what string) sight {
	c.Helper()
	s := c.next()
	require.Equal(c, what, s.Saw, "%+v", s)
	return s
}

// expectEvent expects the next event and returns its arguments.
func (c *client) expectEvent(name string) []any {
	c.Helper()
	s := c.see("event")
	require.Equal(c, name, s.Name)
	return s.Args
}

// expectNotices expects notices, in order and nothing in between.
func (c *client) expectNotices(ids ...string) {
	c.Helper()
	for _, id := range ids {
		args := c.expectEvent(announcement.TypePosted)
		event := args[0].(map[string]any)
		require.Equal(c, id, event["id"])
		require.Equal(c, "Notice "+id, event["data"].(map[string]any)["title"])
	}
}

// emit sends an event and returns the acknowledgement.
func (c *client) emit(name string, args ...any) map[string]any {
	c.Helper()
	c.send(options{"do": "emit", "name": name, "args": args})
	return c.see("ack").Args[0].(map[string]any)
}

// join joins a room and waits until the client has received its new position.
func (c *client) join(rooms ...any) {
	c.Helper()
	c.send(options{"do": "emit", "name": "join", "args": rooms})
	c.expectEvent("position")
	require.Equal(c, true, c.see("ack").Args[0].(map[string]any)["ok"])
}

func ids(prefix string, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint(prefix, i))
	}
	return ids
}

var transports = map[string]options{
	"websocket": {"transports": []string{"websocket"}},
	"polling":   {"transports": []string{"polling"}},
}

func TestClientReceivesItsRooms(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	for name, how := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := realtimetest.Start(t, nil, nil)
			c := open(t, "http://"+front(t, n, socketio.Config{}), options{"token": "ann:admin"},
				how)
			at := c.see("connect")
			require.Equal(t, name, at.Transport)
			require.False(t, at.Recovered)
			c.join("class:a")
			c.join([]string{"class:b", "student:s1"})

			position := realtimetest.Publish(t, n.Log, realtimetest.School, "1",
				realtimetest.Notice("1", "a"))
			args := c.expectEvent(announcement.TypePosted)
			require.Len(t, args, 2)
			event := args[0].(map[string]any)
			require.Equal(t, position.String(), event["position"])
			require.Equal(t, realtimetest.School, event["school"])
			require.Equal(t, position.String()+"\nclass:a\nclass:b\nstudent:s1", args[1],
				"the state that the client stores")

			a := c.emit("join", "class:")
			require.Equal(t, "bad_request", a["error"].(map[string]any)["code"])
			a = c.emit("unknown")
			require.Equal(t, "bad_request", a["error"].(map[string]any)["code"])

			c.send(options{"do": "emit", "name": "leave", "args": []string{"class:a"}})
			args = c.expectEvent("position")
			require.NotContains(t, args[0].(map[string]any)["rooms"], "class:a")
			c.see("ack")
			realtimetest.Publish(t, n.Log, realtimetest.School, "2", realtimetest.Notice("2", "a"))
			realtimetest.Publish(t, n.Log, realtimetest.School, "3", realtimetest.Notice("3", "b"))
			c.expectNotices("3")
		})
	}
}

func TestP6_ClientMissesNothingDuringUpgrade(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	n := realtimetest.Start(t, nil, nil)
	from := realtimetest.Publish(t, n.Log, realtimetest.School, "first",
		realtimetest.Notice("first", "a"))
	// Events keep coming: before the client is connected, during the upgrade, and afterwards.
	var publishing sync.WaitGroup
	all := ids("m", 2000)
	publishing.Go(func() {
		for _, id := range all {
			realtimetest.Publish(t, n.Log, realtimetest.School, id, realtimetest.Notice(id, "a"))
		}
	})
	defer publishing.Wait()
	c := open(t, "http://"+front(t, n, socketio.Config{}),
		options{"token": "ann:admin", "rooms": []string{"class:a"}, "from": from}, nil)
	upgraded := false
	var got []string
	for len(got) < len(all) || !upgraded {
		switch s := c.next(); s.Saw {
		case "connect":
		case "upgrade":
			upgraded = true
		case "event":
			got = append(got, s.Args[0].(map[string]any)["id"].(string))
		default:
			require.Fail(t, "unexpected", "%+v", s)
		}
	}
	require.Equal(t, all, got)
}

func TestP10_ClientIsRefused(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	n := realtimetest.Start(t, nil, func(cfg *realtime.Config) { cfg.MaxPerUser = 1 })
	url := "http://" + front(t, n, socketio.Config{})
	how := transports["websocket"]
	for _, test := range []struct {
		auth options
		code realtime.Close
	}{
		{options{}, realtime.CloseInvalidToken},
		{options{"token": "nonsense"}, realtime.CloseInvalidToken},
		{options{"token": 5}, realtime.CloseBadRequest},
		{options{"token": "ann:admin", "rooms": []string{"nowhere"}}, realtime.CloseBadRequest},
		{options{"token": "ann:admin", "school": "other"}, realtime.CloseDenied},
		{options{"token": "tom:teacher", "rooms": []string{"class:a"}}, realtime.CloseDenied},
		{options{"token": "ann:admin:-1s"}, realtime.CloseExpired},
	} {
		c := open(t, url, test.auth, how)
		s := c.see("connect_error")
		require.Equal(t, test.code.Reason, s.Reason)
		require.EqualValues(t, test.code.Code, s.Args[0].(map[string]any)["code"])
	}

	c := open(t, url, options{"token": "tom:teacher"}, how)
	c.see("connect")
	require.Equal(t, "denied", c.emit("join", "class:a")["error"].(map[string]any)["code"])
	second := open(t, url, options{"token": "tom:teacher"}, how)
	require.EqualValues(t, realtime.CloseTooMany.Code, second.see("disconnect").Code)
	c.send(options{"do": "close"})
	second.see("connect") // it came back by itself
}

func TestClientRefreshesItsToken(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	n := realtimetest.Start(t, nil, nil)
	url := "http://" + front(t, n, socketio.Config{})
	how := transports["websocket"]
	stays := open(t, url, options{"token": "ann:admin:2s"}, how)
	stays.see("connect")
	require.Equal(t, "denied", stays.emit("refresh", "bob:admin")["error"].(map[string]any)["code"])
	require.Equal(t, "invalid_token", stays.emit("refresh", "x")["error"].(map[string]any)["code"])
	require.Equal(t, true, stays.emit("refresh", options{"token": "ann:admin"})["ok"])
	require.Equal(t, true, stays.emit("refresh", "ann:admin")["ok"])

	goes := open(t, url, options{"token": "ann:admin:1s"}, how)
	goes.see("connect")
	s := goes.see("disconnect")
	require.Equal(t, "transport close", s.Reason, "the library reconnects after this one")
	require.EqualValues(t, realtime.CloseExpired.Code, s.Code)

	require.NoError(t, n.Revoke(t.Context(), realtimetest.School, "ann"))
	require.Equal(t, []any{map[string]any{"code": 3503.0, "reason": "access revoked"}},
		stays.expectEvent("closing"))
	require.Equal(t, "io server disconnect", stays.see("disconnect").Reason,
		"and not after this one")
}

func TestP6_ClientRecoversAfterItsConnectionBroke(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	n := realtimetest.Start(t, nil, nil)
	b := startBalancer(t)
	b.point(front(t, n, socketio.Config{}))
	c := open(t, b.url(), options{"token": "ann:admin", "rooms": []string{"class:a"}},
		transports["websocket"])
	c.see("connect")
	publish := func(class string, ids ...string) {
		for _, id := range ids {
			realtimetest.Publish(t, n.Log, realtimetest.School, id, realtimetest.Notice(id, class))
		}
	}
	away := func(during func()) {
		t.Helper()
		target := b.target
		b.point("")
		require.Equal(t, "transport close", c.see("disconnect").Reason)
		during()
		b.point(target)
		require.True(t, c.see("connect").Recovered)
	}

	// the client has nothing yet but its session id
	away(func() { publish("a", "before any event") })
	c.expectNotices("before any event")
	publish("a", "1")
	c.expectNotices("1")
	away(func() { publish("a", "2", "3"); publish("b", "not for it") })
	c.expectNotices("2", "3")
	c.join("class:b") // and no event before the next break
	away(func() { publish("b", "4"); publish("a", "5") })
	c.expectNotices("4", "5")
	away(func() {})
	publish("b", "6")
	c.expectNotices("6")
}

func TestP6_ClientRecoversOnAnotherNode(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	for name, how := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one := realtimetest.Start(t, nil, nil)
			two := realtimetest.Start(t, one.Log, nil)
			b := startBalancer(t)
			b.point(front(t, one, socketio.Config{}))
			c := open(t, b.url(), options{"token": "ann:admin"}, how)
			c.see("connect")
			c.join("class:a")
			for _, id := range ids("before-", 10) {
				realtimetest.Publish(t, one.Log, realtimetest.School, id,
					realtimetest.Notice(id, "a"))
			}
			c.expectNotices(ids("before-", 10)...)
			b.point("")
			c.see("disconnect")
			for _, id := range ids("during-", 500) {
				realtimetest.Publish(t, one.Log, realtimetest.School, id,
					realtimetest.Notice(id, "a"))
			}
			b.point(front(t, two, socketio.Config{}))
			require.True(t, c.see("connect").Recovered)
			for _, id := range ids("after-", 10) {
				realtimetest.Publish(t, one.Log, realtimetest.School, id,
					realtimetest.Notice(id, "a"))
			}
			c.expectNotices(append(ids("during-", 500), ids("after-", 10)...)...)
		})
	}
}

func TestP6_ClientRecoversAfterTheOnlyNodeWasKilled(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	dir := t.TempDir()
	node := startProcess(t, dir)
	b := startBalancer(t)
	b.point(node.addr)
	c := open(t, b.url(), options{"token": "ann:admin", "rooms": []string{"class:a"}},
		transports["websocket"])
	c.see("connect")
	c.join("class:b")
	var missed []string
	for round := range 3 {
		live := ids(fmt.Sprint("live-", round, "-"), 5)
		for _, id := range live {
			node.publish("b", id)
		}
		c.expectNotices(append(missed, live...)...)
		b.point("") // the network goes first, so that the events that follow are missed for certain
		c.see("disconnect")
		missed = ids(fmt.Sprint("missed-", round, "-"), 20)
		for i, id := range missed {
			node.publish([]string{"a", "b"}[i%2], id)
		}
		node.publish("c", fmt.Sprint("not for it ", round))
		node.kill()
		node = startProcess(t, dir)
		b.point(node.addr)
		require.True(t, c.see("connect").Recovered, "round %d", round)
	}
	c.expectNotices(missed...)
}

func TestP6_ClientLearnsThatItCannotRecover(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	one := realtimetest.Start(t, nil, nil)
	other := realtimetest.Start(t, nil, nil) // of another log
	b := startBalancer(t)
	b.point(front(t, one, socketio.Config{}))
	c := open(t, b.url(), options{"token": "ann:admin", "rooms": []string{"class:a"}},
		transports["websocket"])
	c.see("connect")
	realtimetest.Publish(t, one.Log, realtimetest.School, "1", realtimetest.Notice("1", "a"))
	c.expectNotices("1")
	b.point(front(t, other, socketio.Config{}))
	c.see("disconnect")
	require.False(t, c.see("connect").Recovered)
	c.expectEvent("resync")
	c.expectEvent("position")
	realtimetest.Publish(t, other.Log, realtimetest.School, "2", realtimetest.Notice("2", "a"))
	c.expectNotices("2")
	b.point(b.target)
	c.see("disconnect")
	require.True(t, c.see("connect").Recovered, "from the position that it was sent")
}

func TestP6_ClientContinuesFromAPosition(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	n := realtimetest.Start(t, nil, nil)
	url := "http://" + front(t, n, socketio.Config{})
	at := realtimetest.Publish(t, n.Log, realtimetest.School, "0",
		realtimetest.Notice("0", "a")).String()
	for i, class := range []string{"a", "b", "a", "b"} {
		realtimetest.Publish(t, n.Log, realtimetest.School, fmt.Sprint(i+1),
			realtimetest.Notice(fmt.Sprint(i+1), class))
	}
	c := open(t, url, options{"token": "ann:admin", "rooms": []string{"class:a"}, "from": at},
		transports["websocket"])
	c.see("connect")
	c.expectNotices("1", "3")

	later := open(t, url, options{"token": "ann:admin"}, transports["websocket"])
	later.see("connect")
	later.send(options{
		"do": "emit", "name": "join",
		"args": []any{[]string{"class:a", "class:b"}, options{"from": at}},
	})
	later.expectNotices("1", "2", "3", "4")
	later.expectEvent("position")
	later.see("ack")
	require.Equal(t, "unrecoverable",
		later.emit("join", "class:c", options{"from": "9:9"})["error"].(map[string]any)["code"])
	realtimetest.Publish(t, n.Log, realtimetest.School, "5", realtimetest.Notice("5", "b"))
	later.expectNotices("5")
}

func TestClientIsClosedWhenTheNodeDrains(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	one := realtimetest.Start(t, nil, nil)
	two := realtimetest.Start(t, one.Log, nil)
	b := startBalancer(t)
	b.point(front(t, one, socketio.Config{}))
	c := open(t, b.url(), options{"token": "ann:admin", "rooms": []string{"class:a"}},
		transports["websocket"])
	c.see("connect")
	second := front(t, two, socketio.Config{})
	b.mu.Lock()
	b.target = second // as a balancer does with a node that is not ready
	b.mu.Unlock()
	one.Drain(t.Context(), 10*time.Millisecond)
	require.EqualValues(t, realtime.CloseShutdown.Code, c.see("disconnect").Code)
	require.True(t, c.see("connect").Recovered)
}
