package webpush

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// NewKey generates a key for an application server, in base64url. It is generated once:
// subscriptions are bound to it.
func NewKey() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("generate a key: %w", err)
	}
	raw, err := key.Bytes()
	if err != nil {
		return "", fmt.Errorf("generate a key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// identity proves to push services who the sender is (RFC 8292).
type identity struct {
	key     *ecdsa.PrivateKey
	public  string // as browsers need it to subscribe
	contact string

	mu     sync.Mutex
	tokens map[string]token // by the service's origin
}

type token struct {
	header string
	until  time.Time
}

// A token is renewed when half of its life is left, so that one in use never expires on the way.
// The standard allows at most a day.
const (
	tokenLife  = 12 * time.Hour
	maxOrigins = 1000
)

// newIdentity parses the key of an application server.
func newIdentity(key, contact string) (*identity, error) {
	raw, err := decodeBase64(key)
	if err != nil {
		return nil, fmt.Errorf("read key of application server: %w", err)
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		return nil, fmt.Errorf("read key of application server: %w", err)
	}
	public, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("read key of application server: %w", err)
	}
	return &identity{
		key: private, public: base64.RawURLEncoding.EncodeToString(public),
		contact: contact, tokens: map[string]token{},
	}, nil
}

// header returns the Authorization header for a push service.
func (i *identity) header(endpoint *url.URL) (string, error) {
	origin := endpoint.Scheme + "://" + endpoint.Host
	now := time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	if t, ok := i.tokens[origin]; ok && now.Before(t.until) {
		return t.header, nil
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"aud": origin, "exp": now.Add(tokenLife).Unix(), "sub": i.contact,
	}).SignedString(i.key)
	if err != nil {
		return "", fmt.Errorf("sign for push service: %w", err)
	}
	// real services are a handful; made-up ones must not fill the memory
	if len(i.tokens) >= maxOrigins {
		clear(i.tokens)
	}
	t := token{"vapid t=" + signed + ", k=" + i.public, now.Add(tokenLife / 2)}
	i.tokens[origin] = t
	return t.header, nil
}
