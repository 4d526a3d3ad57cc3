package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ProxyHeader is how trusted proxies name the client for whom they connect.
type ProxyHeader string

// The ways that proxies have. Only the configured one is read: a proxy that writes one of them lets
// its clients write the others.
const (
	XForwardedFor ProxyHeader = "x-forwarded-for"
	Forwarded     ProxyHeader = "forwarded" // RFC 7239
	ProxyProtocol ProxyHeader = "proxy-protocol"
)

// trusted reports whether an address is that of one of the proxies.
func trusted(proxies []netip.Prefix, address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// addressOf returns the address of a peer; invalid when it has none, such as a Unix socket.
func addressOf(hostport string) netip.Addr {
	at, _ := netip.ParseAddrPort(hostport)
	return at.Addr().Unmap()
}

// fromClients sets the RemoteAddr of requests to the address of the client, as trusted proxies name
// it. Each proxy appends who connected to it, so that the list is read from the right for as long as
// the names are those of trusted proxies. What stands further to the left is the client's own claim.
func fromClients(c Config, next http.Handler) http.Handler {
	read := forwardedFor
	if c.ProxyHeader == Forwarded {
		read = forwarded
	}
	if len(c.TrustedProxies) == 0 || c.ProxyHeader == ProxyProtocol { // the listener sees to that
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := addressOf(r.RemoteAddr)
		names := read(r.Header)
		for i := len(names) - 1; i >= 0 && trusted(c.TrustedProxies, client); i-- {
			named, ok := parseNode(names[i])
			if !ok {
				break // a name of the proxy's own, such as unknown
			}
			client = named
		}
		if client.IsValid() && client != addressOf(r.RemoteAddr) {
			r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
		}
		next.ServeHTTP(w, r)
	})
}

// forwardedFor returns the nodes in X-Forwarded-For, the client first.
func forwardedFor(h http.Header) []string {
	return strings.Split(strings.Join(h.Values("X-Forwarded-For"), ","), ",")
}

// forwarded returns the for parameters in Forwarded, the client first. An element without one keeps
// its place, so that it ends the reading.
func forwarded(h http.Header) []string {
	var nodes []string
	for _, element := range splitUnquoted(strings.Join(h.Values("Forwarded"), ","), ',') {
		node := ""
		for _, pair := range splitUnquoted(element, ';') {
			if name, value, ok := strings.Cut(pair, "="); ok &&
				strings.EqualFold(strings.TrimSpace(name), "for") {
				node = strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
		nodes = append(nodes, node)
	}
	return nodes
}

// splitUnquoted splits a text at a separator that is not inside quotation marks.
func splitUnquoted(s string, separator byte) []string {
	var parts []string
	quoted, start := false, 0
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			parts, start = append(parts, s[start:i]), i+1
		}
	}
	return append(parts, s[start:])
}

// parseNode parses an address, with or without a port and, for IPv6, brackets.
func parseNode(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		at, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		address = at.Addr()
	}
	return address.Unmap().WithZone(""), true
}
