package realtime

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// PreAuth limits the connections that have not shown a token yet. Anyone can open such a
// connection, so their number is bounded per address and in total, and each protocol closes those
// that have not opened a session within seconds.
//
// The zero value is a limiter with the default limits.
type PreAuth struct {
	PerAddress int // connections of one IPv4 address or IPv6 /64 network; default 500
	Max        int // connections in total; default 5,000

	mu      sync.Mutex
	waiting int
	from    map[netip.Prefix]int
}

// ErrPreAuthFull says that a limit of [PreAuth] is reached.
var ErrPreAuthFull = errors.New("too many connections are waiting to authenticate")

// Enter counts the connection that a request opens until leave is called. Calling leave more than
// once is harmless.
func (l *PreAuth) Enter(r *http.Request) (leave func(), err error) {
	from := network(r.RemoteAddr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting >= cmp.Or(l.Max, 5000) || l.from[from] >= cmp.Or(l.PerAddress, 500) {
		return nil, ErrPreAuthFull
	}
	if l.from == nil {
		l.from = map[netip.Prefix]int{}
	}
	l.waiting++
	l.from[from]++
	return sync.OnceFunc(func() { l.leave(from) }), nil
}

func (l *PreAuth) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
	if l.from[from]--; l.from[from] == 0 {
		delete(l.from, from)
	}
}

// network returns the network that counts as one client. With IPv6 that is a /64: a subscriber
// usually has a whole one and could use a new address for every connection.
func network(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{} // such as a Unix socket: all of these count together
	}
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // fails only beyond the length of the address
	return prefix
}
