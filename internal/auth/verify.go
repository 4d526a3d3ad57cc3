package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

const (
	// audience is the aud of our own tokens, and that of others unless the configuration names one.
	audience = "schoolbell"
	// leeway is how far the issuer's clock may differ from ours.
	leeway = 10 * time.Second
	// maxTokenBytes is the size beyond which a token is not parsed.
	maxTokenBytes = 8 * 1024
	// maxClaimBytes is the longest sub (OpenID Connect Core, section 2), school or jti: they are
	// stored with what the bearer did.
	maxClaimBytes = 255
	// MinSecretBytes is the shortest secret that HS256 is safe with (RFC 7518, section 3.2).
	MinSecretBytes = 32
	// minRSABits is the shortest RSA key that is believed (RFC 7518, section 3.3).
	minRSABits = 2048
)

// ErrInvalidToken is returned for a token that proves nothing. The text after it says why, and may
// be shown to its sender.
var ErrInvalidToken = errors.New("token is not valid")

// ErrExpired is the [ErrInvalidToken] of an expired token: its bearer needs a new one.
var ErrExpired = fmt.Errorf("%w: is expired", ErrInvalidToken)

// Config is which tokens are valid: those signed with Secret, or those signed with a key of JWKS.
type Config struct {
	Secret     string   // for HS256, of 32 bytes or more
	JWKS       string   // https URL of the identity provider's key set
	Algorithms []string // with JWKS, the algorithms to accept; empty is RS256 and ES256
	Issuer     string   // the iss that tokens must have; empty: any
	Audience   string   // with JWKS, the aud that tokens must have; empty is "schoolbell"
	Claims     Claims   // with JWKS, where the claims are

	// Revoked is called with each token that is valid otherwise; nil: no revocations.
	Revoked func(Principal) bool
}

var asymmetric = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
	"ES512", "EdDSA",
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	var errs []error
	if (c.Secret == "") == (c.JWKS == "") {
		errs = append(errs, errors.New("auth: either a secret or the URL of a key set is required"))
	}
	if c.Secret != "" && len(c.Secret) < MinSecretBytes {
		errs = append(errs, fmt.Errorf("auth: the secret has %d bytes; at least %d are required",
			len(c.Secret), MinSecretBytes))
	}
	if u, err := url.Parse(c.JWKS); c.JWKS != "" &&
		(err != nil || u.Host == "" || u.Scheme != "https" && !isLoopback(u)) {
		errs = append(errs, errors.New("auth: the key set's URL must be https"))
	}
	if c.Audience != "" && c.JWKS == "" {
		errs = append(errs, errors.New("auth: an audience can be set with a key set only; tokens "+
			"that are signed with the secret have "+audience))
	}
	if c.Claims.mapped() && c.JWKS == "" {
		errs = append(errs, errors.New("auth: claims can be mapped with a key set only"))
	}
	errs = append(errs, c.Claims.validate())
	for _, a := range c.Algorithms {
		if !slices.Contains(asymmetric, a) {
			errs = append(errs, fmt.Errorf("auth: algorithm %q is not one of %s", a,
				strings.Join(asymmetric, ", ")))
		}
	}
	return errors.Join(errs...)
}

func isLoopback(u *url.URL) bool {
	return u.Scheme == "http" &&
		slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
}

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	config  Config
	parser  *jwt.Parser
	key     jwt.Keyfunc
	revoked func(Principal) bool
}

// New returns a verifier. It refreshes the keys of a key set until ctx ends: every hour, and at
// most every ten seconds when a token names an unknown key. It does not fail when the key set
// cannot be fetched yet.
func New(ctx context.Context, c Config, log *slog.Logger) (*Verifier, error) {
	return newVerifier(ctx, c, log, time.Now)
}

func newVerifier(
	ctx context.Context, c Config, log *slog.Logger, now func() time.Time,
) (*Verifier, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	algorithms := []string{"HS256"}
	key := func(*jwt.Token) (any, error) { return []byte(c.Secret), nil }
	if c.JWKS != "" {
		algorithms = c.Algorithms
		if len(algorithms) == 0 {
			algorithms = []string{"RS256", "ES256"}
		}
		var err error
		if key, err = keySet(ctx, c.JWKS, log); err != nil {
			return nil, err
		}
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(algorithms), jwt.WithAudience(cmp.Or(c.Audience, audience)),
		jwt.WithExpirationRequired(),
		// A token of the future would be younger than every revocation.
		jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now),
	}
	if c.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.Issuer))
	}
	c.Audience = cmp.Or(c.Audience, audience)
	return &Verifier{
		config: c, parser: jwt.NewParser(options...), key: key, revoked: c.Revoked,
	}, nil
}

// keySet looks keys up in the key set at a URL, by the kid of a token.
func keySet(ctx context.Context, address string, log *slog.Logger) (jwt.Keyfunc, error) {
	fetched, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{address}, keyfunc.Override{
		Client:            &http.Client{Timeout: 5 * time.Second, CheckRedirect: stayOnTLS},
		HTTPTimeout:       5 * time.Second,
		RefreshInterval:   time.Hour,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(10*time.Second), 1),
		RateLimitWaitMax:  time.Millisecond, // an unknown key must not hold up a request
		RefreshErrorHandlerFunc: func(address string) func(context.Context, error) {
			return func(ctx context.Context, err error) {
				log.WarnContext(ctx, "fetch keys", "url", shown(address), "error",
					withoutSecrets(err, address))
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("auth: %w", withoutSecrets(err, address))
	}
	// A key that encrypts proves nothing about who signs; most providers leave use out.
	set, err := keyfunc.New(keyfunc.Options{
		Ctx: ctx, Storage: fetched.Storage(), UseWhitelist: []jwkset.USE{jwkset.UseSig, ""},
	})
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return func(t *jwt.Token) (any, error) {
		if kid, ok := t.Header["kid"].(string); !ok || kid == "" {
			return nil, errUntrustedKey
		}
		key, err := set.Keyfunc(t)
		if k, ok := key.(*rsa.PublicKey); ok && k.N.BitLen() < minRSABits {
			return nil, errUntrustedKey
		}
		return key, err
	}, nil
}

// maxRedirects is how many redirects are followed to the keys.
const maxRedirects = 3

// stayOnTLS follows a redirect only to https: keys that come in clear could be anybody's.
func stayOnTLS(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("there are more than %d redirects", maxRedirects)
	case r.URL.Scheme != "https" && via[0].URL.Scheme == "https":
		return errors.New("a redirect leads away from https")
	}
	return nil
}

// withoutSecrets is an error of fetching keys without what may be secret in their address.
func withoutSecrets(err error, address string) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	return fmt.Errorf("fetch keys from %s: %s", shown(address),
		strings.ReplaceAll(err.Error(), address, shown(address)))
}

// shown is an address without user, password and query.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// Verify returns the bearer of a valid token. The error wraps [ErrInvalidToken].
func (v *Verifier) Verify(token string) (Principal, error) {
	if len(token) > maxTokenBytes || strings.Count(token, ".") != 2 {
		return Principal{}, fmt.Errorf("%w: it is malformed", ErrInvalidToken)
	}
	c := claims{paths: v.config.Claims}
	if _, err := v.parser.ParseWithClaims(token, &c, v.keyOf); errors.Is(err, jwt.ErrTokenExpired) {
		return Principal{}, ErrExpired
	} else if err != nil {
		return Principal{}, fmt.Errorf("%w: %s", ErrInvalidToken, v.reason(err, &c))
	}
	for _, claim := range [...]struct{ name, value string }{
		{cmp.Or(v.config.Claims.Sub, "sub"), c.Subject},
		{cmp.Or(v.config.Claims.School, "school"), c.School},
	} {
		if claim.value == "" {
			return Principal{}, fmt.Errorf("%w: it lacks the claim %s", ErrInvalidToken, claim.name)
		}
	}
	for _, claim := range [...]struct{ name, value string }{
		{"sub", c.Subject}, {"school", c.School}, {"jti", c.ID},
	} {
		if len(claim.value) > maxClaimBytes || strings.ContainsFunc(claim.value, unicode.IsControl) {
			return Principal{}, fmt.Errorf("%w: its %s has more than %d bytes or control characters",
				ErrInvalidToken, claim.name, maxClaimBytes)
		}
	}
	if c.School == Platform {
		return Principal{}, fmt.Errorf("%w: no token is for the school %s", ErrInvalidToken, c.School)
	}
	p := Principal{
		Subject: c.Subject, School: c.School, Roles: c.Roles, Scopes: strings.Fields(c.Scope),
		Expires: c.ExpiresAt.Time, TokenID: c.ID,
	}
	if c.IssuedAt != nil {
		p.Issued = c.IssuedAt.Time
	}
	if v.revoked != nil && v.revoked(p) {
		return Principal{}, fmt.Errorf("%w: it has been revoked", ErrInvalidToken)
	}
	return p, nil
}

var errUntrustedKey = errors.New("the header names no key that is believed, or brings its own")

// keyOf returns the key that a token must be signed with. A kid is only looked up in our key set. A
// header that brings a key, says where to fetch one, or demands extensions is refused: believing it
// would let a token prove itself.
func (v *Verifier) keyOf(t *jwt.Token) (any, error) {
	for _, name := range []string{"jku", "jwk", "x5u", "x5c", "crit"} {
		if _, ok := t.Header[name]; ok {
			return nil, errUntrustedKey
		}
	}
	return v.key(t)
}

// reason says which condition a token does not meet, and reveals nothing about keys.
func (v *Verifier) reason(err error, c *claims) string {
	form, malformed := errors.AsType[*claimError](err)
	switch {
	case malformed:
		return form.Error()
	case errors.Is(err, errRepeatedClaim):
		return "it has a claim twice"
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "it is malformed"
	case errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return "its signature cannot be verified"
	case c.ExpiresAt == nil:
		return "it lacks the claim exp"
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return "its nbf is in the future"
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return "its iat is in the future"
	case !slices.Contains(c.Audience, v.config.Audience):
		return fmt.Sprintf("its aud must be %q", v.config.Audience)
	case v.config.Issuer != "" && c.Issuer != v.config.Issuer:
		return fmt.Sprintf("its iss must be %q", v.config.Issuer)
	}
	return "its signature cannot be verified"
}

// Mint signs a token with a secret, for development, tests and the commands on a server's own
// machine. The token gets a random id unless the principal has one.
func Mint(secret string, p Principal, now time.Time) (string, error) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject: p.Subject, Audience: jwt.ClaimStrings{audience},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(p.Expires),
			ID: cmp.Or(p.TokenID, rand.Text()),
		},
		School: p.School, Roles: p.Roles, Scope: strings.Join(p.Scopes, " "),
	}).SignedString([]byte(secret))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}
