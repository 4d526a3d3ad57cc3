package centrifuge_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	client "github.com/centrifugal/centrifuge-go"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/centrifuge"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

// node is a server that can be killed and replaced behind one address.
type node struct {
	t    *testing.T
	log  *memlog.Log
	mux  chan http.Handler // the one that serves now
	hub  *rt.Node
	stop func()
	url  string
}

func startNode(t *testing.T) *node {
	n := &node{t: t, log: memlog.New(4), mux: make(chan http.Handler, 1)}
	n.start()
	n.url = rt.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		h := <-n.mux
		n.mux <- h
		h.ServeHTTP(w, r)
	}) + "/connection/websocket"
	t.Cleanup(func() { n.stop() })
	return n
}

func (n *node) start() {
	n.hub = rt.Start(n.t, n.log, nil)
	cfg := centrifuge.Config{Hub: n.hub.Hub, Access: rt.Access(), RPC: rpc}
	withTickets(&cfg)
	server := centrifuge.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Run(ctx)
	}()
	n.stop = func() {
		cancel()
		<-ended
		n.hub.Kill()
	}
	n.mux <- routes(server)
}

// base is the address of the server, for requests.
func (n *node) base() string {
	return "http" + strings.TrimSuffix(strings.TrimPrefix(n.url, "ws"), "/connection/websocket")
}

// replace replaces the node. Its clients miss what while does.
func (n *node) replace(while func()) {
	<-n.mux
	n.stop()
	while()
	n.start()
}

// The official client for Go receives its room's part of the log, although nodes are killed, in either
// form of the protocol.
func TestP6_CentrifugeGoRecovers(t *testing.T) {
	t.Parallel()
	for name, connect := range map[string]func(string, client.Config) *client.Client{
		"json": client.NewJsonClient, "protobuf": client.NewProtobufClient,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recovers(t, connect)
		})
	}
}

func recovers(t *testing.T, connect func(string, client.Config) *client.Client) {
	n := startNode(t)
	rt.Publish(t, n.log, rt.School, "first", rt.Notice("first", "7b"))
	c := connect(n.url, client.Config{
		Token:             "head admin",
		MinReconnectDelay: 10 * time.Millisecond, MaxReconnectDelay: 50 * time.Millisecond,
	})
	t.Cleanup(c.Close)
	sub, err := c.NewSubscription("class:7a",
		client.SubscriptionConfig{Recoverable: true, Positioned: true})
	require.NoError(t, err)
	got := make(chan uint64, 1000)
	subscribed := make(chan client.SubscribedEvent, 10)
	sub.OnPublication(func(e client.PublicationEvent) { got <- e.Offset })
	sub.OnSubscribed(func(e client.SubscribedEvent) { subscribed <- e })
	require.NoError(t, c.Connect())
	require.NoError(t, sub.Subscribe())
	require.False(t, (<-subscribed).WasRecovering)

	var want []uint64
	publish := func(count int) {
		for range count {
			id := strconv.Itoa(len(want))
			pos := rt.Publish(t, n.log, rt.School, id, rt.Notice(id, "7a"))
			want = append(want, uint64(pos.Offset))
			rt.Publish(t, n.log, rt.School, "other"+id, rt.Notice(id, "7b"))
		}
	}
	publish(10)
	for range 3 {
		n.replace(func() { publish(7) })
		e := <-subscribed
		require.True(t, e.WasRecovering && e.Recovered)
		publish(5)
	}
	for _, offset := range want {
		require.Equal(t, offset, <-got)
	}
	stats, err := sub.PresenceStats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, stats.NumClients)
	history, err := sub.History(t.Context(), client.WithHistoryLimit(3),
		client.WithHistoryReverse(true))
	require.NoError(t, err)
	require.Len(t, history.Publications, 3)
	require.Equal(t, want[len(want)-1], history.Publications[0].Offset)
	res, err := c.RPC(t.Context(), "echo", []byte(`"hello"`))
	require.NoError(t, err)
	require.JSONEq(t, `{"user":"head","school":"greenfield","data":"hello"}`, string(res.Data))
	_, err = c.RPC(t.Context(), "strict", []byte(`"hello"`))
	require.ErrorContains(t, err, "data must be an object")
	_, err = c.Publish(t.Context(), "class:7a", []byte(`{}`))
	require.ErrorContains(t, err, "not available")
	presence, err := sub.Presence(t.Context())
	require.NoError(t, err)
	for id, info := range presence.Clients {
		require.Equal(t, "head", info.User)
		require.Equal(t, id, info.Client)
	}
	require.NoError(t, sub.Unsubscribe())
}

func TestCentrifugeGoRefreshesItsToken(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	url := serve(t, n.Hub, func(c *centrifuge.Config) {
		verify := c.Access.Verify
		c.Access.Verify = func(ctx context.Context, token string) (realtime.Identity, error) {
			identity, err := verify(ctx, token)
			identity.Expires = time.Now().Add(2 * time.Second)
			return identity, err
		}
	})
	refreshed := make(chan struct{}, 10)
	c := client.NewJsonClient(url,
		client.Config{
			Token: "head admin",
			GetToken: func(client.ConnectionTokenEvent) (string, error) {
				refreshed <- struct{}{}
				return "head admin", nil
			},
		})
	t.Cleanup(c.Close)
	disconnected := make(chan client.DisconnectedEvent, 1)
	c.OnDisconnected(func(e client.DisconnectedEvent) { disconnected <- e })
	require.NoError(t, c.Connect())
	<-refreshed
	<-refreshed
	<-refreshed
	require.NoError(t, n.Revoke(t.Context(), rt.School, "head"))
	require.EqualValues(t, realtime.CloseRevoked.Code, (<-disconnected).Code,
		"it must not reconnect")
}

const javascript = `
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { createInterface } from 'node:readline';

const [url, mode, epoch, token = 'head admin'] = process.argv.slice(2);
const origin = url.replace(/^ws/, 'http').replace('/connection/websocket', '');
const print = (...words) => console.log(words.join(' '));
class FromPage extends WebSocket { constructor(address, protocols) { super(address, protocols, { origin }); } }

const c = new Centrifuge(url, { websocket: mode === 'native' ? WebSocket : FromPage, token, minReconnectDelay: 10, maxReconnectDelay: 50 });
c.on('connected', e => print('connected', JSON.stringify(e.data)));
c.on('disconnected', e => print('disconnected', e.code));
c.on('publication', e => print('server', e.channel, e.offset));
const options = { recoverable: true, positioned: true, minResubscribeDelay: 10, maxResubscribeDelay: 20 };
if (mode === 'state') {
	let calls = 0;
	options.getState = async () => { calls++; print('state', calls); return calls === 1 ? { offset: 0, epoch: 'of another log' } : { offset: 2, epoch }; };
}
const sub = c.newSubscription('class:7a', options);
sub.on('publication', e => print('publication', e.offset));
sub.on('subscribed', e => print('subscribed', e.wasRecovering, e.recovered));
sub.on('subscribing', e => print('subscribing', e.code));
sub.on('unsubscribed', e => print('unsubscribed', e.code));
sub.on('error', e => print('error', JSON.stringify(e.error)));
sub.subscribe();
c.connect();
createInterface({ input: process.stdin }).on('line', async line => {
	try {
		if (line === 'presence') print('presence', JSON.stringify(Object.values((await sub.presence()).clients).map(x => x.user)));
		if (line === 'stats') print('stats', JSON.stringify(await sub.presenceStats()));
		if (line === 'history') print('history', (await sub.history({ limit: 2, reverse: true })).publications.map(p => p.offset).join(','));
		if (line === 'rpc') print('rpc', JSON.stringify((await c.rpc('echo', [1])).data));
	} catch (e) { print('failed', JSON.stringify(e)); }
});
`

func TestP6_CentrifugeJSRecovers(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	n := startNode(t)
	rt.Publish(t, n.log, rt.School, "first", rt.Notice("first", "7b"))
	js := rt.JavaScript(t, javascript, n.url, "native")
	js.Next("connected")
	require.Equal(t, "false false", js.Next("subscribed"))
	var want []int64
	publish := func(count int) {
		for range count {
			id := strconv.Itoa(len(want))
			want = append(want, rt.Publish(t, n.log, rt.School, id, rt.Notice(id, "7a")).Offset)
		}
	}
	publish(10)
	read := 0
	check := func() {
		for ; read < len(want); read++ {
			require.Equal(t, strconv.FormatInt(want[read], 10), js.Next("publication"))
		}
	}
	check()
	for range 3 {
		n.replace(func() { publish(7) })
		require.Equal(t, "true true", js.Next("subscribed"))
		publish(5)
		check()
	}
	js.Send("presence")
	require.Equal(t, `["head"]`, js.Next("presence"))
	js.Send("stats")
	require.JSONEq(t, `{"numClients":1,"numUsers":1}`, js.Next("stats"))
	js.Send("history")
	require.Equal(t, fmt.Sprintf("%d,%d", want[len(want)-1], want[len(want)-2]), js.Next("history"))
	js.Send("rpc")
	require.JSONEq(t, `{"user":"head","school":"greenfield","data":[1]}`, js.Next("rpc"))
	require.NoError(t, n.hub.Revoke(t.Context(), rt.School, "head"))
	require.Equal(t, "3503", js.Next("disconnected"))
}

// While the read models lag behind, joins that depend on them are refused and memberships end.
// Clients retry by themselves, and then receive what they have missed.
func TestP6_CentrifugeClientsRetryUnknownRights(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	rights := &rt.LateRights{Class: "7a"}
	rights.Late.Store(true)
	n := rt.Start(t, nil, func(c *realtime.Config) { c.Rights = rights.Grants })
	rt.Publish(t, n.Log, rt.School, "0", rt.Notice("0", "7b"))
	url := serve(t, n.Hub, nil)
	js := rt.JavaScript(t, javascript, url, "native", "", "may teacher")
	goes := client.NewJsonClient(url, client.Config{Token: "may teacher"})
	t.Cleanup(goes.Close)
	sub, err := goes.NewSubscription("class:7a", client.SubscriptionConfig{
		Recoverable: true, Positioned: true, MinResubscribeDelay: 10 * time.Millisecond,
		MaxResubscribeDelay: 20 * time.Millisecond,
	})
	require.NoError(t, err)
	faults, subscribed := make(chan error, 1000), make(chan client.SubscribedEvent, 10)
	left, got := make(chan uint32, 10), make(chan uint64, 10)
	sub.OnError(func(e client.SubscriptionErrorEvent) { faults <- e.Error })
	sub.OnSubscribing(func(e client.SubscribingEvent) { left <- e.Code })
	sub.OnSubscribed(func(e client.SubscribedEvent) { subscribed <- e })
	sub.OnPublication(func(e client.PublicationEvent) { got <- e.Offset })
	require.NoError(t, sub.Subscribe())
	require.NoError(t, goes.Connect())
	require.Contains(t, js.Next("error"), realtime.ErrRightsUnavailable.Error())
	require.ErrorContains(t, <-faults, realtime.ErrRightsUnavailable.Error())
	<-left // it has begun

	rights.Late.Store(false)
	require.Equal(t, "false false", js.Next("subscribed"))
	<-subscribed
	received := func(at domain.Position) {
		t.Helper()
		require.Equal(t, strconv.FormatInt(at.Offset, 10), js.Next("publication"))
		require.Equal(t, uint64(at.Offset), <-got)
	}
	received(rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "7a")))

	rights.Late.Store(true)
	rt.Publish(t, n.Log, rt.School, "2",
		&staff.Assigned{StaffID: "may", Name: "May", Role: "teacher", ClassIDs: []string{"7a"}})
	require.Equal(t, "2500", js.Next("subscribing"))
	require.EqualValues(t, 2500, <-left)
	missed := rt.Publish(t, n.Log, rt.School, "3", rt.Notice("3", "7a"))
	rights.Late.Store(false)
	require.Equal(t, "true true", js.Next("subscribed"))
	require.True(t, (<-subscribed).Recovered)
	received(missed)
}

// An app continues from the position of the API response from which it read its state. If that
// belongs to another log, it is made to read the state again.
func TestP6_CentrifugeJSContinuesFromState(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	n := rt.Start(t, nil, nil)
	url := serve(t, n.Hub, nil)
	for i := range 5 {
		rt.Publish(t, n.Log, rt.School, strconv.Itoa(i), rt.Notice("n", "7a"))
	}
	probe := rt.Listen(t, n, rt.User("head", "admin"), realtime.Options{})
	probe.Reaches(t, domain.Position{Offset: 4})
	js := rt.JavaScript(t, javascript, url, "state", n.EpochFor("head", rt.School))
	require.Equal(t, "1", js.Next("state"))
	require.Equal(t, "2", js.Next("state"), "after error 112")
	require.Equal(t, "true true", js.Next("subscribed"))
	require.Equal(t, "3", js.Next("publication"))
	require.Equal(t, "4", js.Next("publication"))
	var data struct{ Position, Epoch string }
	other := rt.JavaScript(t, javascript, url, "plain")
	require.NoError(t, json.Unmarshal([]byte(other.Next("connected")), &data,
		json.MatchCaseInsensitiveNames(true)))
	require.Equal(t, n.EpochFor("head", rt.School), data.Epoch)
}
