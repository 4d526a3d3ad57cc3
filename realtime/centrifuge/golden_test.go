package centrifuge_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/golden"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/centrifuge"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/ws"
	"github.com/schoolbell/schoolbell/realtime/wstest"
)

func TestMain(m *testing.M) {
	// The Go client waits for replies that no longer come, each in a goroutine, until its own
	// timeout.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/centrifugal/centrifuge-go.(*Client).sendAsync.func1"))
}

// serve runs a server on a hub and returns the address of its WebSocket.
func serve(t testing.TB, hub *realtime.Hub, change func(*centrifuge.Config)) string {
	t.Helper()
	cfg := centrifuge.Config{Hub: hub, Access: rt.Access(), RPC: rpc}
	if change != nil {
		change(&cfg)
	}
	server := centrifuge.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Run(ctx)
	}()
	web := httptest.NewServer(routes(server))
	t.Cleanup(func() { cancel(); <-ended; web.Close() })
	return "ws" + strings.TrimPrefix(web.URL, "http") + "/connection/websocket"
}

// routes serves all transports.
func routes(server *centrifuge.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", server)
	mux.Handle("/connection/http_stream", server.HTTPStream())
	mux.Handle("/connection/sse", server.EventStream())
	mux.Handle("/emulation", server.Commands())
	return mux
}

func rpc(
	_ context.Context, identity realtime.Identity, school, method string, data jsontext.Value,
) (jsontext.Value, error) {
	if method == "strict" {
		return nil, centrifuge.BadRequest("bad request: data must be an object")
	}
	if method != "echo" {
		return nil, centrifuge.ErrUnknownMethod
	}
	return jsontext.Value(fmt.Sprintf(`{"user":%q,"school":%q,"data":%s}`, identity.Subject, school,
		data)), nil
}

// The frames of the protocol as text: what a client sends, and what it receives.
func TestGolden(t *testing.T) {
	t.Parallel()
	golden.Walk(t, "testdata", func(t *testing.T, path string) {
		log := memlog.New(1)
		n := rt.Start(t, log, func(c *realtime.Config) { c.MaxMissed = 5; c.DashboardInterval = time.Millisecond; c.MaxRooms = 6 })
		server := wstest.Server{URL: serve(t, n.Hub, nil)}
		client := server.Dial(t)
		events := 0
		epoch := n.EpochFor("head", rt.School)
		wire := strings.NewReplacer("EPOCH", epoch)
		changing := regexp.MustCompile(`[0-9A-Z]{10}-[0-9a-z]+`)
		ttl := regexp.MustCompile(`"ttl":\d+`)
		read := func(frames int) string {
			var out strings.Builder
			for range frames {
				f, err := client.Next()
				switch {
				case err != nil:
					fmt.Fprintln(&out, "the connection is gone")
				case f.Op == ws.CloseFrame:
					fmt.Fprintf(&out, "close %d %s\n", int(f.Payload[0])<<8|int(f.Payload[1]),
						f.Payload[2:])
				default:
					fmt.Fprintln(&out, ttl.ReplaceAllString(changing.ReplaceAllString(strings.ReplaceAll(string(f.Payload), epoch, "EPOCH"), "CLIENT"), `"ttl":TTL`))
				}
			}
			return out.String()
		}
		golden.Run(t, path, func(t *testing.T, d *datadriven.TestData) string {
			frames := 1
			d.MaybeScanArgs(t, "frames", &frames)
			switch d.Cmd {
			case "new":
				client = server.Dial(t)
				return ""
			case "send":
				client.Send(wstest.Masked(ws.Text, wire.Replace(d.Input)))
				return read(frames)
			case "publish":
				var class string
				d.ScanArgs(t, "class", &class)
				events++
				rt.Publish(t, log, rt.School, strconv.Itoa(events),
					rt.Notice(strconv.Itoa(events), class))
				d.MaybeScanArgs(t, "frames", &frames)
				return read(frames)
			case "mark":
				events++
				rt.Publish(t, log, rt.School, strconv.Itoa(events), rt.Mark("s1", "7a", 1))
				return read(frames)
			case "change":
				n.Changed(realtime.Changed{
					School: rt.School, Projections: []string{"fees"},
					Position: domain.Position{Offset: 77},
				})
				return read(frames)
			case "drain":
				go n.Drain(context.Background(), time.Millisecond)
				return read(frames)
			}
			return "unknown command " + d.Cmd
		})
	})
}

func TestRawFrames(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	wstest.Run(t, wstest.Server{
		URL: serve(t, n.Hub, func(c *centrifuge.Config) { c.MaxMessage = 4096; c.CommandRate = 1 << 20; c.CommandBurst = 1 << 20 }), MaxMessage: 4096,
		Message: `{"id":1,"connect":{"token":"grüße admin"}}`, Reply: `{"id":1,"connect":{`,
	})
}

func TestWhoMayConnect(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	url := "http" + strings.TrimPrefix(serve(t, n.Hub, nil), "ws")
	own := strings.TrimSuffix(url, "/connection/websocket")
	for name, test := range map[string]struct {
		query  string
		header map[string]string
		status int
	}{
		"own origin, token in the first message": {"", map[string]string{"Origin": own}, 101},
		"no origin, token in the header": {
			"",
			map[string]string{"Authorization": "Bearer head admin"},
			101,
		},
		"no origin, token in the first message": {"", nil, 101},
		// as if there were none
		"no origin, and a cookie": {"", map[string]string{"Cookie": "token=head admin"}, 101},
		"another site's request without origin": {
			"",
			map[string]string{"Sec-Fetch-Site": "cross-site"},
			403,
		},
		"a foreign origin, token in the header": {
			"",
			map[string]string{
				"Origin":        "https://elsewhere.example",
				"Authorization": "Bearer head admin",
			},
			403,
		},
		"a foreign origin": {
			"",
			map[string]string{"Origin": "https://elsewhere.example"},
			403,
		},
		"no real origin": {"", map[string]string{"Origin": "null"}, 403},
		"a token in the query": {
			"?token=x",
			map[string]string{"Origin": own},
			400,
		},
		"a bad token": {
			"",
			map[string]string{"Authorization": "Bearer x"},
			401,
		},
		"protobuf": {
			"?format=protobuf",
			map[string]string{"Origin": own},
			101,
		},
	} {
		require.Equal(t, test.status, knock(t, url+test.query, test.header), name)
	}
}

// knock requests a WebSocket, closes it, and returns the status.
func knock(t *testing.T, url string, header map[string]string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for k, v := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		req.Header.Set(k, v)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

// TestP10_NothingIsSentBeforeAuthentication connects as native clients do, without an Origin.
func TestP10_NothingIsSentBeforeAuthentication(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	server := wstest.Server{URL: serve(t, n.Hub, func(c *centrifuge.Config) {
		c.ConnectTimeout = 300 * time.Millisecond
	})}
	for name, test := range map[string]struct{ command, end string }{
		"nothing":            {"", "\x0d\xaestale"},
		"no token":           {`{"id":1,"connect":{}}`, "\x0d\xacinvalid token"},
		"a bad token":        {`{"id":1,"connect":{"token":"x"}}`, "\x0d\xacinvalid token"},
		"something else":     {`{"id":1,"subscribe":{"channel":"school"}}`, "\x0d\xadbad request"},
		"expired, and waits": {`{"id":1,"connect":{"token":"!late admin"}}`, "\x0d\xaestale"},
	} {
		client := server.Dial(t)
		if test.command != "" {
			client.Send(wstest.Masked(ws.Text, test.command))
		}
		f, err := client.Next()
		require.NoError(t, err, name)
		if f.Op == ws.Text {
			require.JSONEq(t, `{"id":1,"error":{"code":109,"message":"token expired"}}`,
				string(f.Payload), name)
			client.Send(wstest.Masked(ws.Text, test.command)) // retries do not extend the deadline
			_, err = client.Next()
			require.NoError(t, err, name)
			f, err = client.Next()
			require.NoError(t, err, name)
		}
		require.Equal(t, test.end, string(f.Payload), name)
		require.NoError(t, client.Close())
	}
}

// Silent connections of strangers keep nobody out.
func TestTheOldestSilentClientGoesForANewOne(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	server := wstest.Server{URL: serve(t, n.Hub,
		func(c *centrifuge.Config) { c.Access.PreAuth.PerAddress = 2 })}
	connect := func(c *wstest.Client) {
		t.Helper()
		c.Send(wstest.Masked(ws.Text, `{"id":1,"connect":{"token":"head admin"}}`))
		f, err := c.Next()
		require.NoError(t, err)
		require.Contains(t, string(f.Payload), `"connect"`)
	}
	oldest, second := server.Dial(t), server.Dial(t)
	require.Equal(t, http.StatusSwitchingProtocols, knock(t,
		"http"+strings.TrimPrefix(server.URL, "ws"),
		map[string]string{"Authorization": "Bearer head admin"}), "a bearer never waits")
	connect(second) // and so frees its place
	third := server.Dial(t)
	fourth := server.Dial(t)
	f, err := oldest.Next()
	require.NoError(t, err)
	require.Equal(t, "\x0b\xccthis node is full", string(f.Payload), "3020: come back")
	connect(third)
	connect(fourth)
}

func TestServerRequiresPongs(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	server := wstest.Server{URL: serve(t, n.Hub, func(c *centrifuge.Config) {
		c.PingInterval, c.PongTimeout, c.ConnectTimeout = 40*time.Millisecond, 300*time.Millisecond,
			300*time.Millisecond
	})}
	silent := server.Dial(t)
	f, err := silent.Next()
	require.NoError(t, err)
	require.Equal(t, "\x0d\xaestale", string(f.Payload), "3502")

	client := server.Dial(t)
	client.Send(wstest.Masked(ws.Text, `{"id":1,"connect":{"token":"head admin"}}`))
	_, err = client.Next()
	require.NoError(t, err)
	for range 10 {
		f, err = client.Next()
		require.NoError(t, err)
		require.Equal(t, "{}", string(f.Payload))
		client.Send(wstest.Masked(ws.Text, "{}"))
	}
	for f.Op == ws.Text {
		f, err = client.Next()
		require.NoError(t, err)
	}
	require.Equal(t, "\x0b\xc4no pong", string(f.Payload), "3012")
}
