package realtime

import (
	"cmp"
	"container/list"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// PreAuth limits the connections that have not shown a token yet. Anyone can open such a
// connection, so their number is bounded per address and in total, and each protocol closes those
// that have not opened a session within seconds. Beyond a limit the one that has waited longest is
// closed, and no newcomer is refused: clients show their token at once, so that silent connections
// of strangers, however many, do not keep them out.
//
// The zero value is a limiter with the default limits.
type PreAuth struct {
	PerAddress int // connections of one IPv4 address or IPv6 /64 network; default 500
	Max        int // connections in total; default 5,000

	mu   sync.Mutex
	all  list.List // of *silent, the oldest first
	from map[netip.Prefix]*list.List
}

// silent is a connection that has not shown a token.
type silent struct {
	from     netip.Prefix
	drop     func()
	all, own *list.Element
}

// Enter counts the connection that a request has opened until leave is called, which is harmless
// more than once. When it has waited longest of too many, drop is called, once and from another
// connection's goroutine, and has to close it.
func (l *PreAuth) Enter(r *http.Request, drop func()) (leave func()) {
	s := &silent{from: network(r.RemoteAddr), drop: drop}
	if oldest := l.add(s); oldest != nil {
		oldest.drop()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.remove(s)
	}
}

// add adds a connection and returns the one that has to go for it, if any.
func (l *PreAuth) add(s *silent) (oldest *silent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.from[s.from]
	switch {
	case own != nil && own.Len() >= cmp.Or(l.PerAddress, 500):
		oldest = own.Front().Value.(*silent)
	case l.all.Len() >= cmp.Or(l.Max, 5000):
		oldest = l.all.Front().Value.(*silent)
	}
	if oldest != nil {
		l.remove(oldest)
	}
	if l.from == nil {
		l.from = map[netip.Prefix]*list.List{}
	}
	if own = l.from[s.from]; own == nil { // the oldest may have been the last of this address
		own = list.New()
		l.from[s.from] = own
	}
	s.all, s.own = l.all.PushBack(s), own.PushBack(s)
	return oldest
}

// remove takes a connection out unless that was done before. The lock is held.
func (l *PreAuth) remove(s *silent) {
	if s.all == nil {
		return
	}
	l.all.Remove(s.all)
	own := l.from[s.from]
	own.Remove(s.own)
	if own.Len() == 0 {
		delete(l.from, s.from)
	}
	s.all, s.own = nil, nil
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
