package httpapi

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/pires/go-proxyproto"
)

// Limits are how many connections a listener holds open.
type Limits struct {
	Connections int // further ones wait in the kernel's queue
	// PerAddress is how many one address may have; further ones are closed at once. 0 is a tenth of
	// all. Trusted proxies and addresses of private networks, which stand for many clients, have no
	// limit of their own.
	PerAddress int
	Proxies    []netip.Prefix // that are trusted
	// ProxyHeader decides whether these speak the PROXY protocol, which they must then.
	ProxyHeader ProxyHeader
	Logger      *slog.Logger
}

// Listen puts limits on a listener.
func Listen(l net.Listener, c Limits) net.Listener {
	if c.PerAddress == 0 {
		c.PerAddress = max(1, c.Connections/10)
	}
	limited := &limited{
		Listener: l, limits: c, free: make(chan struct{}, c.Connections),
		closed: make(chan struct{}), from: map[netip.Addr]int{},
	}
	if c.ProxyHeader != ProxyProtocol {
		return limited
	}
	return &named{proxyproto.Listener{
		Listener: limited, ReadHeaderTimeout: headerTimeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			if trusted(c.Proxies, addressOf(o.Upstream.String())) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil // what it says of itself is no request
		},
	}}
}

type limited struct {
	net.Listener
	limits Limits
	free   chan struct{}
	once   sync.Once
	closed chan struct{}

	mu   sync.Mutex
	from map[netip.Addr]int
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.free
			return nil, err
		}
		from := l.countedAs(c.RemoteAddr())
		if l.enter(from) {
			return &limitedConn{Conn: c, listener: l, from: from}, nil
		}
		_ = c.Close() // it is refused
		l.limits.Logger.Warn("one address has as many connections as it may; further ones are "+
			"closed (--api-connections-per-address)", "address", from)
	}
}

// countedAs returns the address that a connection counts for: with IPv6 a /64 network, which a
// subscriber usually has for itself. It is invalid for addresses without a limit of their own.
func (l *limited) countedAs(remote net.Addr) netip.Addr {
	address := addressOf(remote.String())
	if address.IsLoopback() || address.IsPrivate() || address.IsLinkLocalUnicast() ||
		trusted(l.limits.Proxies, address) {
		return netip.Addr{}
	}
	if network, err := address.Prefix(64); err == nil && address.Is6() {
		return network.Addr()
	}
	return address
}

func (l *limited) enter(from netip.Addr) bool {
	if !from.IsValid() {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from[from] >= l.limits.PerAddress {
		return false
	}
	l.from[from]++
	return true
}

func (l *limited) leave(from netip.Addr) {
	<-l.free
	l.mu.Lock()
	defer l.mu.Unlock()
	switch n := l.from[from]; {
	case n > 1:
		l.from[from]--
	default: // also of those that are not counted
		delete(l.from, from)
	}
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	listener *limited
	from     netip.Addr
	closed   atomic.Bool
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	if c.closed.CompareAndSwap(false, true) { // net/http closes some connections twice
		c.listener.leave(c.from)
	}
	return err
}

// SyscallConn implements [syscall.Conn], for code that writes to the socket without blocking.
func (c *limitedConn) SyscallConn() (syscall.RawConn, error) {
	if socket, ok := c.Conn.(syscall.Conn); ok {
		return socket.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// CloseWrite ends the sending side only, so that the peer can read what is under way.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// named is a listener whose trusted proxies name their clients before the first request.
type named struct{ proxyproto.Listener }

// Accept implements [net.Listener].
func (l *named) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if p, ok := c.(*proxyproto.Conn); ok {
		return namedConn{p, p.Raw().(*limitedConn)}, err
	}
	return c, err
}

// namedConn reads behind what the proxy said, and has the abilities of the connection itself.
type namedConn struct {
	*proxyproto.Conn
	raw *limitedConn
}

// SyscallConn implements [syscall.Conn].
func (c namedConn) SyscallConn() (syscall.RawConn, error) { return c.raw.SyscallConn() }

// CloseWrite ends the sending side only.
func (c namedConn) CloseWrite() error { return c.raw.CloseWrite() }
