package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/golden"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// observatory scores headers by the table of Mozilla's HTTP Observatory: 100 points, less what is
// missing, and bonuses once 90 are reached.
func observatory(h http.Header) int {
	score, bonus := 100, 0
	csp := h.Get("Content-Security-Policy")
	switch {
	case csp == "":
		score -= 25
	case strings.Contains(csp, "unsafe-inline") || strings.Contains(csp, "unsafe-eval"):
		score -= 20
	case strings.Contains(csp, "default-src 'none'"):
		bonus += 10
	default:
		bonus += 5
	}
	if h.Get("Strict-Transport-Security") == "" {
		score -= 20
	} else if strings.Contains(h.Get("Strict-Transport-Security"), "preload") {
		bonus += 5
	}
	if h.Get("X-Content-Type-Options") != "nosniff" {
		score -= 5
	}
	switch {
	case strings.Contains(csp, "frame-ancestors 'none'"):
		bonus += 5
	case h.Get("X-Frame-Options") == "":
		score -= 20
	}
	switch h.Get("Referrer-Policy") {
	case "no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin":
		bonus += 5
	case "unsafe-url":
		score -= 5
	}
	if h.Get("Cross-Origin-Resource-Policy") == "same-origin" {
		bonus += 10
	}
	if h.Get("Access-Control-Allow-Origin") == "*" {
		score -= 50
	}
	if score >= 90 {
		score += bonus
	}
	return score
}

func TestSecurityHeadersFollowTheObservatory(t *testing.T) {
	t.Parallel()
	s := logOnly(t, func(c *httpapi.Config, _ *httpapi.Deps) { c.BehindTLS = true })
	for _, path := range []string{
		"/docs", "/openapi.json", "/nowhere", "/v1/schools/north/events",
		"/v1/catalog?token=x",
	} {
		require.GreaterOrEqual(t, observatory(s.get(path, "").Header), 130, path)
	}
	plain := logOnly(t)
	require.Empty(t, plain.get("/docs", "").Header.Get("Strict-Transport-Security"),
		"without TLS there is nothing to stay with")
}

// A page on the internet can give its own name the address of the port.
func TestTheOperationsPortIsNoServerOfPagesElsewhere(t *testing.T) {
	t.Parallel()
	h := httpapi.Internal([]string{"metrics.school.example"},
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for host, want := range map[string]int{
		"127.0.0.1:9090": 200, "[::1]:9090": 200, "10.1.2.3": 200, "localhost:9090": 200,
		"front:9090": 200, "metrics.school.example:9090": 200, "METRICS.school.example": 200,
		"evil.example": 421, "evil.example:9090": 421, "127.0.0.1.evil.example:9090": 421,
		"localhost.evil.example": 421, "evil.example.": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, want, w.Code, host)
		require.Equal(t, 80, observatory(w.Header()), "%s: all that there is without TLS", host)
	}
}

func TestPagesLoadNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	s := full(t)
	for _, path := range []string{"/", "/docs", "/outbox"} {
		page := s.get(path, "")
		require.Equal(t, http.StatusOK, page.StatusCode)
		require.NotContains(t, string(page.body), "<style", "the policy forbids what is inline")
		for _, m := range regexp.MustCompile(`(?:href|src)="([^"]+)"`).FindAllStringSubmatch(string(page.body), -1) {
			if m[1] == "data:," { // no icon
				continue
			}
			require.True(t, strings.HasPrefix(m[1], "/"), m[1])
			require.Equal(t, http.StatusOK, s.get(m[1], "").StatusCode, m[1])
		}
	}
}

func TestTokensInURLsAreRefused(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	for _, name := range []string{"token", "access_token", "Token", "jwt"} {
		r := s.get("/v1/schools/north/events?"+name+"=very-secret", "")
		require.Equal(t, http.StatusBadRequest, r.StatusCode)
		r.problem(t)
	}
	s.get("/v1/schools/north/events?after=x", token(t, "north", "u-7", "admin"))
	require.NotContains(t, s.logs.String(), "very-secret")
	require.NotContains(t, s.logs.String(), "eyJ", "no token is logged")
	require.Contains(t, s.logs.String(), "subject=u-7")
}

func TestUnknownPathsAreProblems(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	require.Equal(t, http.StatusNotFound, s.get("/v2", "").problem(t).Status)
	r := s.do(http.MethodDelete, "/v1/schools/north/events", "", "")
	require.Equal(t, http.StatusMethodNotAllowed, r.problem(t).Status)
	require.Contains(t, r.Header.Get("Allow"), "POST")
	r = s.get("/documents/../../etc/passwd", "")
	require.Equal(t, http.StatusNotFound, r.problem(t).Status)
	require.Empty(t, r.Header.Get("Location"))
}

func TestAPanicIsAProblemAndLogged(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	s.api.Handle("GET /panic",
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("at the disco") }))
	r := s.get("/panic", "", "X-Request-Id", "abc-1")
	require.Equal(t, http.StatusInternalServerError, r.problem(t).Status)
	require.NotContains(t, string(r.body), "disco")
	require.Equal(t, "abc-1", r.Header.Get("X-Request-Id"))
	require.Contains(t, s.logs.String(), "at the disco")
	require.NotEqual(t, "a b", s.get("/docs", "", "X-Request-Id", "a b").Header.Get("X-Request-Id"),
		"only plain ids are taken over")
}

func TestOriginsAreAllowedByName(t *testing.T) {
	t.Parallel()
	closed := logOnly(t)
	require.Empty(t, closed.get("/docs", "", "Origin",
		"https://app.example").Header.Get("Access-Control-Allow-Origin"))

	s := logOnly(t, func(c *httpapi.Config,
		_ *httpapi.Deps,
	) {
		c.AllowedOrigins = []string{"https://app.example"}
	})
	r := s.do(http.MethodOptions, "/v1/schools/north/events", "", "", "Origin",
		"https://app.example", "Access-Control-Request-Method", "POST")
	require.Equal(t, http.StatusNoContent, r.StatusCode)
	require.Equal(t, "https://app.example", r.Header.Get("Access-Control-Allow-Origin"))
	require.Empty(t, r.Header.Get("Access-Control-Allow-Credentials"))
	for _, origin := range []string{
		"null", "https://evil.example",
		"https://app.example.evil.example", "http://app.example",
	} {
		require.Empty(t,
			s.get("/docs", "", "Origin", origin).Header.Get("Access-Control-Allow-Origin"), origin)
	}
}

func TestResponsesAreCompressed(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	for _, coding := range []string{"gzip", "zstd"} {
		r := httptest.NewRequest(http.MethodGet, "/openapi.json", nil)
		r.Header.Set("Accept-Encoding", coding)
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		require.Equal(t, coding, w.Header().Get("Content-Encoding"))
		require.Contains(t, w.Header().Values("Vary"), "Accept-Encoding")
		if coding == "zstd" {
			d, err := zstd.NewReader(nil)
			require.NoError(t, err)
			defer d.Close()
			plain, err := d.DecodeAll(w.Body.Bytes(), nil)
			require.NoError(t, err)
			require.Contains(t, string(plain), `"openapi": "3.1.0"`)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/nowhere", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	require.Empty(t, w.Header().Get("Content-Encoding"), "small answers are not")
}

func TestGoldenOpenAPI(t *testing.T) {
	t.Parallel()
	s := full(t, withLive(&liveCalls{}))
	got, err := s.api.OpenAPI()
	require.NoError(t, err)
	golden.Check(t, "testdata/openapi.json", got)

	var served map[string]any
	require.NoError(t, json.Unmarshal(s.get("/openapi.json", "").body, &served))
	require.Equal(t, "3.1.0", served["openapi"])
}

func TestConfigReportsAllFaults(t *testing.T) {
	t.Parallel()
	err := httpapi.Config{
		WaitLimit: -1, MaxBody: -1, InFlightBytes: 5,
		AllowedOrigins: []string{"*", "https://a.example/"},
	}.Validate()
	for _, want := range []string{
		"wait limit", "limits must not be negative", `"*"`,
		`"https://a.example/"`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, httpapi.Config{AllowedOrigins: []string{"https://a.example"}}.Validate())
}
