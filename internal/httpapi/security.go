package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// contentSecurityPolicy allows what the documentation page and the dashboard ship themselves, and
// nothing else.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src " +
	"'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'"

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
}

// Internal protects a port that is not for the public from the browsers of those who can reach it. A
// page elsewhere could give its own name the address of the port (DNS rebinding) and then read from
// it as from its own server, so only names are served that no page of the internet can have: IP
// addresses, localhost, names without a dot, and those given.
func Internal(names []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setSecurityHeaders(w.Header())
		if !isInternal(r.Host, names) {
			problem(http.StatusMisdirectedRequest, "this port is not served under the name %.100q; "+
				"an operator can allow it with --ops-hosts", r.Host).write(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isInternal(hostport string, names []string) bool {
	host := hostport
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost") ||
		slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, host) })
}

// secure sets the headers that limit what browsers do with a response, after the table of Mozilla's
// HTTP Observatory. It also refuses tokens in URLs, which end up in logs and browser histories.
func secure(c Config, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		setSecurityHeaders(h)
		// On plain HTTP browsers ignore it, and on localhost it would lock developers out.
		if r.TLS != nil || c.BehindTLS {
			h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains; preload")
		}
		if cors(c.AllowedOrigins, h, r) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		// Refused even where it would work: the token is in the logs of every proxy by now, and its
		// owner should know.
		for name := range r.URL.Query() {
			if n := strings.ToLower(name); n == "token" || n == "access_token" || n == "jwt" ||
				n == "authorization" {
				problem(http.StatusBadRequest,
					"a token must not be in the URL; send it in the Authorization header").write(w,
					r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// cors lets pages of the allowed origins call the API, and reports whether the request was a
// preflight. There are no cookies, so credentials are never allowed.
func cors(allowed []string, h http.Header, r *http.Request) (preflight bool) {
	if len(allowed) == 0 {
		return false
	}
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(allowed, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers",
		"ETag, Retry-After, Schoolbell-Parked, Schoolbell-Parked-From, Schoolbell-Position, "+
			"X-Cache, X-Request-Id")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers",
		"Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID, "+
			"Schoolbell-Min-Position, Traceparent")
	h.Set("Access-Control-Max-Age", "600")
	return true
}
