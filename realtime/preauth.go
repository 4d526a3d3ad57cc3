package realtime

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// PreAuth is where connections wait until they have shown who they are from. Anybody can open one, so there are not many
// of one address, nor altogether, and each protocol ends those that have not become a session within seconds.
//
// The zero value is a lobby with the default limits.
type PreAuth struct {
	PerAddress int // of one IPv4 address or IPv6 network of 64 bits; default 500
	Max        int // default 5,000

	mu      sync.Mutex
	waiting int
	from    map[netip.Prefix]int
}

// ErrPreAuthFull says that too many connections wait already.
var ErrPreAuthFull = errors.New("too many connections wait to show who they are from")

const (
	defaultPerAddress = 500
	defaultPreAuth    = 5000
)

// Enter lets the connection that a request opens wait, until leave is called; more than once is harmless.
func (l *PreAuth) Enter(r *http.Request) (leave func(), err error) {
	from := network(r.RemoteAddr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting >= orDefault(l.Max, defaultPreAuth) || l.from[from] >= orDefault(l.PerAddress, defaultPerAddress) {
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

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// network is whose connection it is, as far as an address tells: who has one address of IPv6 has a network of them.
func network(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{} // not of a network: all such connections count together
	}
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // fails only beyond the length of the address
	return prefix
}
