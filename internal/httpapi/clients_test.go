package httpapi_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/httpapi"
)

func networks(list ...string) []netip.Prefix {
	var parsed []netip.Prefix
	for _, s := range list {
		parsed = append(parsed, netip.MustParsePrefix(s))
	}
	return parsed
}

// echoClient is an API with a live route that responds with the address of its client.
func echoClient(t *testing.T, proxies []netip.Prefix, header httpapi.ProxyHeader) *stack {
	t.Helper()
	return logOnly(t, withLive(&liveCalls{}), func(c *httpapi.Config, d *httpapi.Deps) {
		c.TrustedProxies, c.ProxyHeader = proxies, header
		d.Live.Sockets["/connection/websocket"] = http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				host, _, _ := net.SplitHostPort(r.RemoteAddr)
				fmt.Fprint(w, host)
			})
	})
}

func TestProxiesNameTheirClients(t *testing.T) {
	t.Parallel()
	const xff, forwarded = "X-Forwarded-For", "Forwarded"
	mine := networks("127.0.0.0/8", "10.0.0.0/8", "fd00::/8")
	for _, test := range []struct {
		name    string
		trusted []netip.Prefix
		read    httpapi.ProxyHeader
		headers []string
		want    string
	}{
		{"a stranger's claim", nil, "", []string{xff, "203.0.113.9"}, "127.0.0.1"},
		{"another proxy", networks("10.0.0.0/8"), "", []string{xff, "203.0.113.9"}, "127.0.0.1"},
		{"no header", mine, "", nil, "127.0.0.1"},
		{"one proxy", mine, "", []string{xff, "203.0.113.9"}, "203.0.113.9"},
		{"two proxies", mine, "", []string{xff, "203.0.113.9, 10.1.2.3"}, "203.0.113.9"},
		{"a claim on the left", mine, "", []string{xff, "1.2.3.4, 203.0.113.9"}, "203.0.113.9"},
		{
			"a claim in a header before", mine, "",
			[]string{xff, "1.2.3.4", xff, "203.0.113.9,10.1.2.3"},
			"203.0.113.9",
		},
		{"a client inside", mine, "", []string{xff, "10.9.9.9, 10.1.2.3"}, "10.9.9.9"},
		{"nonsense on the left", mine, "", []string{xff, "evil, 10.1.2.3"}, "10.1.2.3"},
		{"nonsense", mine, "", []string{xff, "<script>"}, "127.0.0.1"},
		{"with a port", mine, "", []string{xff, "203.0.113.9:4711"}, "203.0.113.9"},
		{"IPv6", mine, "", []string{xff, "2001:db8::9, fd00::1"}, "2001:db8::9"},
		{"IPv6 with a port", mine, "", []string{xff, "[2001:db8::9]:4711"}, "2001:db8::9"},
		{"a mapped address", mine, "", []string{xff, "203.0.113.9, ::ffff:10.1.2.3"}, "203.0.113.9"},
		{"the header that is not read", mine, "", []string{forwarded, "for=1.2.3.4"}, "127.0.0.1"},
		{
			"the header that is not read either", mine, httpapi.Forwarded,
			[]string{xff, "1.2.3.4"},
			"127.0.0.1",
		},
		{
			"RFC 7239", mine, httpapi.Forwarded,
			[]string{
				forwarded, `for=1.2.3.4, For="[2001:db8::9]:4711";proto=https;by=10.0.0.1`,
				forwarded, `proto=http;for=10.1.2.3`,
			},
			"2001:db8::9",
		},
		{
			"separators in quotes", mine, httpapi.Forwarded,
			[]string{forwarded, `for=203.0.113.9;ext="a,for=1.2.3.4;"`},
			"203.0.113.9",
		},
		{
			"unknown", mine, httpapi.Forwarded,
			[]string{forwarded, `for=203.0.113.9, for=unknown, for=10.1.2.3`},
			"10.1.2.3",
		},
		{
			"an element without a node", mine, httpapi.Forwarded,
			[]string{forwarded, `for=203.0.113.9, proto=https`},
			"127.0.0.1",
		},
	} {
		s := echoClient(t, test.trusted, test.read)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			s.server.URL+"/connection/websocket", nil)
		require.NoError(t, err)
		for i := 0; i < len(test.headers); i += 2 {
			r.Header.Add(test.headers[i], test.headers[i+1])
		}
		resp, err := s.server.Client().Do(r)
		require.NoError(t, err)
		line, _ := bufio.NewReader(resp.Body).ReadString('\n')
		require.NoError(t, resp.Body.Close())
		require.Equal(t, test.want, line, test.name)
	}
}

func TestTheProxyProtocolIsSpokenByTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	respond := func(proxies []netip.Prefix, text string) string {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		server := httpapi.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.RemoteAddr)
		}), slog.New(slog.DiscardHandler))
		served := make(chan error, 1)
		go func() {
			served <- server.Serve(httpapi.Listen(inner, httpapi.Limits{
				Connections: 10, Proxies: proxies, ProxyHeader: httpapi.ProxyProtocol,
				Logger: slog.New(slog.DiscardHandler),
			}))
		}()
		defer func() {
			require.NoError(t, server.Close())
			require.ErrorIs(t, <-served, http.ErrServerClosed)
		}()
		c, err := net.Dial("tcp", inner.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		_, err = c.Write([]byte(text))
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return "closed"
		}
		defer resp.Body.Close()
		body, _ := bufio.NewReader(resp.Body).ReadString('\n')
		return resp.Status + " " + body
	}
	const request = "GET / HTTP/1.1\r\nHost: school.example\r\n\r\n"
	const header = "PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n"
	loopback := networks("127.0.0.1/32")
	require.Equal(t, "200 OK 203.0.113.9:4711", respond(loopback, header+request))
	require.NotContains(t, respond(loopback, request), "200", "it has to say for whom it connects")
	require.NotContains(t, respond(networks("10.0.0.0/8"), header+request), "200")
	require.True(t, strings.HasPrefix(respond(networks("10.0.0.0/8"), request),
		"200 OK 127.0.0.1:"))
}

// arrivals is a listener at which connections of any address arrive.
type arrivals chan net.Conn

func (a arrivals) Accept() (net.Conn, error) {
	if c, ok := <-a; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (a arrivals) Close() error { close(a); return nil }
func (arrivals) Addr() net.Addr { return &net.TCPAddr{} }

type arrival struct {
	net.Conn
	from   net.Addr
	closed chan struct{}
}

func (a *arrival) RemoteAddr() net.Addr { return a.from }
func (a *arrival) Close() error         { close(a.closed); return nil }

func TestOneAddressCannotTakeAllConnections(t *testing.T) {
	t.Parallel()
	inner := make(arrivals)
	l := httpapi.Listen(inner, httpapi.Limits{
		Connections: 29, Proxies: networks("198.51.100.7/32", "2001:db8:1::7/128"),
		Logger: slog.New(slog.DiscardHandler),
	})
	accepted := make(chan net.Conn, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	connect := func(from string) net.Conn {
		a := &arrival{
			from:   net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 1)),
			closed: make(chan struct{}),
		}
		inner <- a
		select {
		case c := <-accepted:
			return c
		case <-a.closed:
			return nil
		}
	}
	first := connect("203.0.113.1")
	require.NotNil(t, first)
	require.NotNil(t, connect("::ffff:203.0.113.1"))
	require.Nil(t, connect("203.0.113.1"), "a tenth of all is enough")
	require.NotNil(t, connect("2001:db8::1"))
	require.NotNil(t, connect("2001:db8::2"))
	require.Nil(t, connect("2001:db8::3"), "a /64 network is one address")
	for _, many := range []string{
		"127.0.0.1", "10.0.0.1", "198.51.100.7", "::1", "fd00::1", "2001:db8:1::7",
	} {
		for range 4 {
			require.NotNil(t, connect(many), "%s stands for many clients", many)
		}
	}
	require.NoError(t, first.Close())
	require.NotNil(t, connect("203.0.113.1"))
	require.NoError(t, l.Close())
}
