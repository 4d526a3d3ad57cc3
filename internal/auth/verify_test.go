package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/internal/auth"
)

const secret = "a secret of at least thirty-two bytes"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func principal() auth.Principal {
	return auth.Principal{
		Subject: "u-1", School: "north", Roles: []string{"teacher"},
		Scopes:  []string{"events:write"},
		Expires: time.Now().Add(time.Hour).Truncate(time.Second),
		Issued:  time.Now().Truncate(time.Second), TokenID: "t-1",
	}
}

func verifier(t *testing.T, c auth.Config) *auth.Verifier {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	v, err := auth.New(ctx, c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return v
}

func TestNoTokenIsForThePlatform(t *testing.T) {
	t.Parallel()
	p := principal()
	p.School = auth.Platform
	token, err := auth.Mint(secret, p, p.Issued)
	require.NoError(t, err)
	_, err = verifier(t, auth.Config{Secret: secret}).Verify(token)
	require.ErrorIs(t, err, auth.ErrInvalidToken)
}

// The address of keys may have a password or a key of its own in it.
func TestErrorsAboutKeysDoNotRepeatTheAddress(t *testing.T) {
	t.Parallel()
	missing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(missing.Close)
	for _, address := range []string{
		"http://user:hush@127.0.0.1:1/keys?code=hush",
		strings.Replace(missing.URL, "http://", "http://user:hush@", 1) + "/keys?code=hush",
	} {
		logged := &lockedBuffer{}
		_, err := auth.New(t.Context(), auth.Config{JWKS: address},
			slog.New(slog.NewTextHandler(logged, nil)))
		said := fmt.Sprint(err, logged.String())
		require.Contains(t, said, "/keys")
		require.NotContains(t, said, "hush")
	}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestVerifyReturnsWhoTheTokenIsFor(t *testing.T) {
	t.Parallel()
	want := principal()
	token, err := auth.Mint(secret, want, want.Issued)
	require.NoError(t, err)
	got, err := verifier(t, auth.Config{Secret: secret}).Verify(token)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestRevokedTokensAreRefused(t *testing.T) {
	t.Parallel()
	at := time.Now().Truncate(time.Second)
	all := auth.Revocation{School: "north", User: "u-1", At: at.Add(300 * time.Millisecond)}
	one := auth.Revocation{School: "north", User: "u-1", TokenID: "t-1", At: all.At}
	for name, test := range map[string]struct {
		change   func(*auth.Principal)
		all, one bool
	}{
		"of before": {
			func(p *auth.Principal) { p.Issued = at.Add(-time.Hour) }, true,
			true,
		},
		"of the same second": {func(*auth.Principal) {}, true, true},
		"that does not say":  {func(p *auth.Principal) { p.Issued = time.Time{} }, true, true},
		"of later": {
			func(p *auth.Principal) { p.Issued = at.Add(time.Second) }, false,
			false,
		},
		"with another id":   {func(p *auth.Principal) { p.TokenID = "t-2" }, true, false},
		"of another user":   {func(p *auth.Principal) { p.Subject = "u-2" }, false, false},
		"of another school": {func(p *auth.Principal) { p.School = "south" }, false, false},
	} {
		p := principal()
		p.Issued = at
		test.change(&p)
		require.Equal(t, test.all, all.Covers(p), name)
		require.Equal(t, test.one, one.Covers(p), name)
	}

	v := verifier(t, auth.Config{Secret: secret, Revoked: one.Covers})
	token, err := auth.Mint(secret, principal(), at)
	require.NoError(t, err)
	_, err = v.Verify(token)
	require.ErrorIs(t, err, auth.ErrInvalidToken)
	require.NotErrorIs(t, err, auth.ErrExpired)
	p := principal()
	p.TokenID = "" // it gets one of its own
	token, err = auth.Mint(secret, p, at)
	require.NoError(t, err)
	got, err := v.Verify(token)
	require.NoError(t, err)
	require.NotEmpty(t, got.TokenID)
}

// keySet serves the public keys of an identity provider, which can be rotated.
type keySet struct {
	*httptest.Server
	keys    atomic.Pointer[map[string]*rsa.PrivateKey]
	use     atomic.Pointer[string] // of the keys; nil: sig
	fetched atomic.Int64
}

func newKeySet(t *testing.T, keys map[string]*rsa.PrivateKey) *keySet {
	t.Helper()
	s := &keySet{}
	s.keys.Store(&keys)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fetched.Add(1)
		type jwk map[string]string
		var list []jwk
		for kid, key := range *s.keys.Load() {
			use := "sig"
			if other := s.use.Load(); other != nil {
				use = *other
			}
			list = append(list, jwk{
				"kty": "RSA", "kid": kid, "use": use, "alg": "RS256",
				"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
				"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
			})
		}
		_ = json.MarshalWrite(w, map[string]any{"keys": list})
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	return newKeyOf(t, 2048)
}

func newKeyOf(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	require.NoError(t, err)
	return key
}

func goodClaims() jwt.MapClaims {
	return jwt.MapClaims{
		"sub": "u-1", "school": "north", "roles": []string{"admin"}, "aud": "schoolbell",
		"exp": time.Now().Add(time.Hour).Unix(),
	}
}

func sign(
	t *testing.T, method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims,
) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	maps.Copy(token.Header, header)
	s, err := token.SignedString(key)
	require.NoError(t, err)
	return s
}

// rawToken signs claims as they are written, after an aud and an exp.
func rawToken(t *testing.T, claims string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode(fmt.Appendf(nil,
		`{"aud":"schoolbell","exp":%d,%s}`, time.Now().Add(time.Hour).Unix(), claims))
	signature, err := jwt.SigningMethodHS256.Sign(text, []byte(secret))
	require.NoError(t, err)
	return text + "." + encode(signature)
}

func without(name string) jwt.MapClaims {
	c := goodClaims()
	delete(c, name)
	return c
}

func with(name string, value any) jwt.MapClaims {
	c := goodClaims()
	c[name] = value
	return c
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	key, stranger := newKey(t), newKey(t)
	set := newKeySet(t, map[string]*rsa.PrivateKey{"k1": key})
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})

	production := verifier(t, auth.Config{JWKS: set.URL, Issuer: ""})
	development := verifier(t, auth.Config{Secret: secret})
	k1 := map[string]any{"kid": "k1"}
	hs := func(c jwt.MapClaims) string {
		return sign(t, jwt.SigningMethodHS256, []byte(secret), nil,
			c)
	}
	raw := func(claims string) string { return rawToken(t, claims) }
	good := sign(t, jwt.SigningMethodRS256, key, k1, goodClaims())
	_, err = production.Verify(good)
	require.NoError(t, err)
	goodHS := hs(goodClaims())
	_, err = development.Verify(goodHS)
	require.NoError(t, err)
	parts := strings.Split(good, ".")

	for _, test := range []struct {
		name  string
		by    *auth.Verifier
		token string
	}{
		{"nothing", production, ""},
		{"no signature", production, parts[0] + "." + parts[1] + "."},
		{
			"alg none", production,
			sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, k1, goodClaims()),
		},
		{
			"alg none in development", development,
			sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, goodClaims()),
		},
		{
			"HS256 with the RSA key as secret", production,
			sign(t, jwt.SigningMethodHS256, publicPEM, k1, goodClaims()),
		},
		{
			"another algorithm of the same key", production,
			sign(t, jwt.SigningMethodRS512, key, k1, goodClaims()),
		},
		{
			"HS512 in development", development,
			sign(t, jwt.SigningMethodHS512, []byte(secret), nil, goodClaims()),
		},
		{
			"a stranger's key", production,
			sign(t, jwt.SigningMethodRS256, stranger, k1, goodClaims()),
		},
		{
			"a kid that is a path", production,
			sign(t, jwt.SigningMethodRS256, stranger, map[string]any{"kid": "../../../dev/null"},
				goodClaims()),
		},
		{
			"a kid that is no text", production,
			sign(t, jwt.SigningMethodRS256, key, map[string]any{"kid": 7}, goodClaims()),
		},
		{"a sub too long to be stored", development, hs(with("sub", strings.Repeat("x", 256)))},
		{"a sub with a control character", development, hs(with("sub", "u-1\x00"))},
		{"a jti with a control character", development, hs(with("jti", "a\nb"))},
		{"no kid", production, sign(t, jwt.SigningMethodRS256, key, nil, goodClaims())},
		{"jku", production, sign(t, jwt.SigningMethodRS256, key,
			map[string]any{"kid": "k1", "jku": "https://evil.example/keys"}, goodClaims())},
		{"x5u", production, sign(t, jwt.SigningMethodRS256, key,
			map[string]any{"kid": "k1", "x5u": "https://evil.example/cert"}, goodClaims())},
		{
			"a key in the header", production,
			sign(t, jwt.SigningMethodRS256, key,
				map[string]any{"kid": "k1", "jwk": map[string]any{}}, goodClaims()),
		},
		{"crit", development, sign(t, jwt.SigningMethodHS256, []byte(secret),
			map[string]any{"crit": []string{"exp"}}, goodClaims())},
		{"no exp", development, hs(without("exp"))},
		{"expired", development, hs(with("exp", time.Now().Add(-time.Minute).Unix()))},
		{"exp as text", development, hs(with("exp", "tomorrow"))},
		{"not valid yet", development, hs(with("nbf", time.Now().Add(time.Minute).Unix()))},
		{"issued in the future", development, hs(with("iat", time.Now().Add(time.Hour).Unix()))},
		{"no aud", development, hs(without("aud"))},
		{"wrong aud", development, hs(with("aud", "another"))},
		{"no school", development, hs(without("school"))},
		{"no sub", development, hs(without("sub"))},
		// Some providers let users choose names of claims.
		{"a school that is spelt otherwise", development, raw(`"sub":"u","School":"north"`)},
		{"a second school", development, raw(`"sub":"u","school":"south","school":"north"`)},
		{
			"a second school that is spelt otherwise", development,
			raw(`"sub":"u","School":"north","roles":["admin"],"school":""`),
		},
		{"a second exp", development, raw(`"sub":"u","school":"north","exp":1`)},
		{"a second claim inside", development, raw(`"sub":"u","school":"north","x":{"a":1,"a":2}`)},
		{
			"changed claims", development,
			goodHS[:strings.Index(goodHS, ".")] + "." +
				strings.Split(hs(with("school", "south")), ".")[1] +
				goodHS[strings.LastIndex(goodHS, "."):],
		},
		{"10,000 dots", development, strings.Repeat(".", 10_000)},
		{"a megabyte", development, "a." + strings.Repeat("b", 1<<20) + ".c"},
		{
			"deep nesting", development,
			base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("[", 4000))) + ".e30.e30",
		},
		{"spaces", development, " " + goodHS},
	} {
		_, err := test.by.Verify(test.token)
		require.ErrorIs(t, err, auth.ErrInvalidToken, test.name)
		require.NotContains(t, err.Error(), secret, test.name)
	}
}

func TestOnlyStrongKeysThatSignAreBelieved(t *testing.T) {
	t.Parallel()
	kid := map[string]any{"kid": "k"}
	for _, test := range []struct {
		name, use string
		key       *rsa.PrivateKey
		believed  bool
	}{
		{"of 2,048 bits", "sig", newKey(t), true},
		{"of no stated use", "", newKey(t), true},
		{"for encryption", "enc", newKey(t), false},
		{"of 1,024 bits", "sig", newKeyOf(t, 1024), false},
	} {
		set := newKeySet(t, map[string]*rsa.PrivateKey{})
		set.use.Store(&test.use)
		set.keys.Store(&map[string]*rsa.PrivateKey{"k": test.key})
		_, err := verifier(t, auth.Config{JWKS: set.URL}).
			Verify(sign(t, jwt.SigningMethodRS256, test.key, kid, goodClaims()))
		require.Equal(t, test.believed, err == nil, "a key %s: %v", test.name, err)
	}
}

func TestTheAudienceOfAKeySetIsASetting(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	set := newKeySet(t, map[string]*rsa.PrivateKey{"k": key})
	v := verifier(t, auth.Config{JWKS: set.URL, Audience: "https://school.example"})
	kid := map[string]any{"kid": "k"}
	_, err := v.Verify(sign(t, jwt.SigningMethodRS256, key, kid,
		with("aud", []string{"account", "https://school.example"})))
	require.NoError(t, err)
	_, err = v.Verify(sign(t, jwt.SigningMethodRS256, key, kid, goodClaims()))
	require.ErrorContains(t, err, `its aud must be "https://school.example"`)
	require.ErrorContains(t, auth.Config{Secret: secret, Audience: "a"}.Validate(), "key set only")
}

func TestRefusingCostsLittle(t *testing.T) {
	v := verifier(t, auth.Config{Secret: secret})
	token := strings.Repeat(".", 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		_, _ = v.Verify(token)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, (after.TotalAlloc-before.TotalAlloc)/100, uint64(64<<10))
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	old, fresh := newKey(t), newKey(t)
	set := newKeySet(t, map[string]*rsa.PrivateKey{"old": old})
	v := verifier(t, auth.Config{JWKS: set.URL})
	require.EqualValues(t, 1, set.fetched.Load())

	set.keys.Store(&map[string]*rsa.PrivateKey{"fresh": fresh})
	_, err := v.Verify(sign(t, jwt.SigningMethodRS256, fresh, map[string]any{"kid": "fresh"},
		goodClaims()))
	require.NoError(t, err, "an unknown kid makes the keys be fetched")
	_, err = v.Verify(sign(t, jwt.SigningMethodRS256, old, map[string]any{"kid": "old"},
		goodClaims()))
	require.ErrorIs(t, err, auth.ErrInvalidToken, "a key that was withdrawn is not believed")

	before := set.fetched.Load()
	for range 100 {
		_, err = v.Verify(sign(t, jwt.SigningMethodRS256, old, map[string]any{"kid": "unheard-of"},
			goodClaims()))
		require.ErrorIs(t, err, auth.ErrInvalidToken)
	}
	require.LessOrEqual(t, set.fetched.Load()-before, int64(1),
		"strangers cannot make us fetch keys at will")
}

func TestConfigReportsAllFaults(t *testing.T) {
	t.Parallel()
	err := auth.Config{
		Secret: "short", JWKS: "http://keys.example",
		Algorithms: []string{"none"},
	}.Validate()
	require.ErrorContains(t, err, "either a secret or")
	require.ErrorContains(t, err, "at least 32")
	require.ErrorContains(t, err, "must be https")
	require.ErrorContains(t, err, `"none"`)
	require.NoError(t, auth.Config{Secret: secret}.Validate())
}

// Keys that come in clear could be anybody's, so a redirect of the provider does not lead there.
func TestKeysComeOverTLSAlone(t *testing.T) {
	t.Parallel()
	clear := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(clear.Close)
	to := ""
	provider := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.Redirect(w, r, to, http.StatusFound)
	}))
	t.Cleanup(provider.Close)
	client := provider.Client()
	client.CheckRedirect = auth.StayOnTLS
	fetch := func(target string) error {
		to = target
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, provider.URL, nil)
		require.NoError(t, err)
		resp, err := client.Do(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	require.NoError(t, fetch(provider.URL+"/moved"))
	require.ErrorContains(t, fetch(clear.URL), "away from https")

	var requests atomic.Int64
	loop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/", http.StatusFound)
	}))
	t.Cleanup(loop.Close)
	_, err := auth.New(t.Context(), auth.Config{JWKS: loop.URL}, slog.New(slog.DiscardHandler))
	require.NoError(t, err, "the keys may come later")
	require.LessOrEqual(t, requests.Load(), int64(4))
}
