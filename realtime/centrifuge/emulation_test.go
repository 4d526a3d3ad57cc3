package centrifuge_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/centrifuge"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

// emulated is a client that receives by a response and sends by requests.
type emulated struct {
	t       *testing.T
	base    string
	lines   *bufio.Scanner
	session string
}

// emulate connects by a request.
func emulate(t *testing.T, base string, req *http.Request) *emulated {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req.WithContext(ctx))
	require.NoError(t, err)
	t.Cleanup(func() { cancel(); _ = res.Body.Close() })
	require.Equal(t, http.StatusOK, res.StatusCode)
	return &emulated{t: t, base: base, lines: bufio.NewScanner(res.Body)}
}

func post(t *testing.T, url, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	return req
}

// next returns the next message.
func (e *emulated) next() string {
	e.t.Helper()
	for e.lines.Scan() {
		if line := strings.TrimPrefix(e.lines.Text(), "data: "); line != "" {
			return line
		}
	}
	require.FailNow(e.t, "the stream has ended")
	return ""
}

// connected reads the reply to connect.
func (e *emulated) connected() *emulated {
	e.t.Helper()
	var r struct {
		Connect struct{ Session, Node string } `json:"connect"`
	}
	line := e.next()
	require.NoError(e.t, json.Unmarshal([]byte(line), &r, json.MatchCaseInsensitiveNames(true)))
	require.NotEmpty(e.t, r.Connect.Session, line)
	require.NotEmpty(e.t, r.Connect.Node, line)
	e.session = r.Connect.Session
	return e
}

// plainClient closes its connections with their responses.
var plainClient = http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// send sends commands and returns the status.
func (e *emulated) send(commands string) int {
	e.t.Helper()
	body, err := json.Marshal(map[string]string{"session": e.session, "node": "", "data": commands})
	require.NoError(e.t, err)
	res, err := plainClient.Do(post(e.t, e.base+"/emulation", string(body)))
	require.NoError(e.t, err)
	_, _ = io.Copy(io.Discard, res.Body)
	require.NoError(e.t, res.Body.Close())
	return res.StatusCode
}

const connectHead = `{"id":1,"connect":{"token":"head admin"}}`

func streams(t *testing.T, hub *realtime.Hub, change func(*centrifuge.Config)) string {
	url := serve(t, hub, change)
	return "http" + strings.TrimSuffix(strings.TrimPrefix(url, "ws"), "/connection/websocket")
}

// withTickets lets tickets of the form "user:role:…" in, once.
func withTickets(c *centrifuge.Config) {
	used := map[string]bool{}
	c.Access.Redeem = func(_ context.Context, ticket string, use realtime.TicketUse) (realtime.Identity, error) {
		user, role, ok := strings.Cut(ticket, ":")
		if !ok || used[ticket] || use != (realtime.TicketUse{}) {
			return realtime.Identity{}, realtime.ErrInvalidToken
		}
		used[ticket] = true
		role, _, _ = strings.Cut(role, ":")
		return rt.User(user, role), nil
	}
}

func TestP6_StreamsReceiveWhatSocketsDo(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	base := streams(t, n.Hub, withTickets)
	byPost := emulate(t, base, post(t, base+"/connection/http_stream", connectHead)).connected()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/connection/sse?cf_connect="+
		url.QueryEscape(`{"id":1,"connect":{"token":"head:admin:1"}}`), nil)
	require.NoError(t, err)
	byEvents := emulate(t, base, req).connected()
	for _, e := range []*emulated{byPost, byEvents} {
		require.Equal(t, http.StatusNoContent, e.send(`{"id":2,"subscribe":{"channel":"class:7a"}}`+"\n"+
			`{"id":3,"subscribe":{"channel":"kitchen"}}`+"\n"))
		require.Contains(t, e.next(), `{"id":2,"subscribe":{"recoverable":true`)
		require.Contains(t, e.next(), `{"id":3,"error":{"code":102`)
	}
	for i := range 3 {
		at := rt.Publish(t, n.Log, rt.School, fmt.Sprint(i), rt.Notice("n", "7a"))
		for _, e := range []*emulated{byPost, byEvents} {
			got := e.next()
			require.True(t, strings.HasPrefix(got, `{"push":{"channel":"class:7a","pub":{"data":{`), got)
			require.True(t, strings.HasSuffix(got, fmt.Sprintf(`},"offset":%d}}}`, at.Offset)), got)
		}
	}
	// The session is a secret of its own, not the name that other members see.
	stranger := &emulated{t: t, base: base, session: "nonsense"}
	require.Equal(t, http.StatusNotFound, stranger.send(`{"id":2,"ping":{}}`))
	require.NoError(t, n.Revoke(t.Context(), rt.School, "head"))
	for _, e := range []*emulated{byPost, byEvents} {
		require.Equal(t, `{"push":{"disconnect":{"code":3503,"reason":"access revoked"}}}`, e.next())
		require.False(t, e.lines.Scan() && e.lines.Text() != "", "it has ended")
		require.Eventually(t, func() bool { return e.send(`{"id":4,"ping":{}}`) == http.StatusNotFound },
			10*time.Second, time.Millisecond)
	}
}

func TestP10_WhoMayOpenAStream(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	base := streams(t, n.Hub, withTickets)
	sse := base + "/connection/sse?cf_connect="
	ends := func(req *http.Request, last string) {
		t.Helper()
		e := emulate(t, base, req)
		got := ""
		for e.lines.Scan() {
			if e.lines.Text() != "" {
				got = e.lines.Text()
			}
		}
		require.Equal(t, last, strings.TrimPrefix(got, "data: "))
	}
	disconnect := func(c realtime.Close) string {
		return fmt.Sprintf(`{"push":{"disconnect":{"code":%d,"reason":%q}}}`, c.Code, c.Reason)
	}
	get := func(connect string) *http.Request {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, sse+url.QueryEscape(connect), nil)
		require.NoError(t, err)
		return req
	}
	for body, reason := range map[string]realtime.Close{
		``:                                     realtime.CloseExpired,
		`{"id":1,"connect":{}}`:                realtime.CloseInvalidToken,
		`{"id":1,"connect":{"token":"a.b.c"}}`: realtime.CloseInvalidToken,
		`{"id":1,"subscribe":{"channel":"x"}}`: realtime.CloseBadRequest,
		`nonsense`:                             realtime.CloseBadRequest,
	} {
		ends(post(t, base+"/connection/http_stream", body), disconnect(reason))
		ends(get(body), disconnect(reason))
	}
	// A token in the URL would end up in logs.
	ends(get(`{"id":1,"connect":{"token":"head.admin"}}`), disconnect(realtime.CloseInvalidToken))
	emulate(t, base, get(`{"id":1,"connect":{"token":"ann:admin:1"}}`)).connected()
	ends(get(`{"id":1,"connect":{"token":"ann:admin:1"}}`), disconnect(realtime.CloseExpired))

	for _, test := range []struct {
		method, path, origin string
		status               int
	}{
		{http.MethodPost, "/connection/http_stream", "https://elsewhere.example", 403},
		{http.MethodPost, "/emulation", "https://elsewhere.example", 403},
		{http.MethodOptions, "/emulation", "https://elsewhere.example", 403},
		{http.MethodOptions, "/emulation", base, 204},
		{http.MethodGet, "/emulation", base, 405},
		{http.MethodGet, "/connection/http_stream", "", 405},
		{http.MethodPost, "/connection/sse", "", 405},
		{http.MethodPost, "/connection/http_stream?token=x", "", 400},
		{http.MethodPost, "/emulation", "", 400},
	} {
		req := post(t, base+test.path, "{")
		req.Method = test.method
		if test.origin != "" {
			req.Header.Set("Origin", test.origin)
		}
		res, err := plainClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, test.status, res.StatusCode, "%s %s", test.method, test.path)
	}
}

func TestAStreamWithoutPongsEnds(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	base := streams(t, n.Hub, func(c *centrifuge.Config) {
		c.PingInterval, c.PongTimeout = 40*time.Millisecond, 300*time.Millisecond
	})
	e := emulate(t, base, post(t, base+"/connection/http_stream", connectHead)).connected()
	for range 10 {
		require.Equal(t, "{}", e.next())
		require.Equal(t, http.StatusNoContent, e.send("{}"))
	}
	for line := "{}"; line == "{}"; {
		if line = e.next(); line != "{}" {
			require.Equal(t, `{"push":{"disconnect":{"code":3012,"reason":"no pong"}}}`, line)
		}
	}
	require.Eventually(t, func() bool {
		members, err := n.Presence(t.Context(), rt.School, domain.Room{Kind: domain.RoomUser, ID: "head"})
		return err == nil && len(members) == 0
	}, 10*time.Second, time.Millisecond)
}

// The official client for JavaScript where WebSockets do not get through.
func TestP6_CentrifugeJSRecoversOverStreams(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	for _, transport := range []string{"http_stream", "sse"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			n := startNode(t)
			rt.Publish(t, n.log, rt.School, "first", rt.Notice("first", "7b"))
			js := rt.JavaScript(t, emulation, n.base(), transport)
			require.Equal(t, transport, js.Next("connected"))
			require.Equal(t, "false false", js.Next("subscribed"))
			want := 0
			publish := func(count int) (offsets []string) {
				for range count {
					want++
					at := rt.Publish(t, n.log, rt.School, fmt.Sprint(want), rt.Notice("n", "7a"))
					offsets = append(offsets, fmt.Sprint(at.Offset))
				}
				return offsets
			}
			for range 3 {
				for _, offset := range publish(5) {
					require.Equal(t, offset, js.Next("publication"))
				}
				var missed []string
				n.replace(func() { missed = publish(7) })
				require.Equal(t, "true true", js.Next("subscribed"))
				for _, offset := range missed {
					require.Equal(t, offset, js.Next("publication"))
				}
			}
			js.Send("stats")
			require.JSONEq(t, `{"numClients":1,"numUsers":1}`, js.Next("stats"))
			require.NoError(t, n.hub.Revoke(t.Context(), rt.School, "head"))
			require.Equal(t, "3503", js.Next("disconnected"))
		})
	}
}

const emulation = `
import { Centrifuge } from 'centrifuge';
import { EventSource } from 'eventsource';
import { createInterface } from 'node:readline';

const [base, transport] = process.argv.slice(2);
const print = (...words) => console.log(words.join(' '));
let tickets = 0;
const c = new Centrifuge([{ transport, endpoint: base + '/connection/' + transport }], {
	emulationEndpoint: base + '/emulation', eventsource: EventSource,
	getToken: async () => 'head:admin:' + ++tickets, minReconnectDelay: 10, maxReconnectDelay: 50,
});
c.on('connected', e => print('connected', e.transport));
c.on('disconnected', e => print('disconnected', e.code));
const sub = c.newSubscription('class:7a', { recoverable: true, positioned: true, minResubscribeDelay: 10, maxResubscribeDelay: 20 });
sub.on('publication', e => print('publication', e.offset));
sub.on('subscribed', e => print('subscribed', e.wasRecovering, e.recovered));
sub.subscribe();
c.connect();
createInterface({ input: process.stdin }).on('line', async () => print('stats', JSON.stringify(await sub.presenceStats())));
`
