package auth_test

import (
	"crypto/rsa"
	"maps"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/auth"
)

// Tokens in the shapes of identity providers, with the settings of docs/TOKENS.md.
func TestTheRecipesOfProvidersWork(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	set := newKeySet(t, map[string]*rsa.PrivateKey{"k1": key})
	for name, recipe := range map[string]struct {
		config auth.Config
		token  jwt.MapClaims
		want   auth.Principal
	}{
		"Keycloak": {
			auth.Config{
				Issuer: "https://id.school.example/realms/north", Audience: "schoolbell",
				Claims: auth.Claims{
					Sub: "preferred_username", Roles: "/resource_access/schoolbell/roles",
				},
			},
			jwt.MapClaims{
				"iss": "https://id.school.example/realms/north", "typ": "Bearer", "azp": "portal",
				"aud": []string{"schoolbell", "account"}, "sub": "5a1f6e0c-4b5c", "sid": "77",
				"realm_access":    map[string]any{"roles": []string{"offline_access", "admin"}},
				"resource_access": map[string]any{"schoolbell": map[string]any{"roles": []string{"teacher"}}},
				"scope":           "openid profile", "preferred_username": "t-001", "school": "north",
			},
			auth.Principal{
				Subject: "t-001", School: "north", Roles: []string{"teacher"},
				Scopes: []string{"openid", "profile"},
			},
		},
		"Auth0": {
			auth.Config{
				Issuer: "https://north.eu.auth0.com/", Audience: "https://schoolbell.example",
				Claims: auth.Claims{
					Sub: "https://schoolbell.example/id", School: "https://schoolbell.example/school",
					Roles: "https://schoolbell.example/roles", Scope: "permissions",
				},
			},
			jwt.MapClaims{
				"iss": "https://north.eu.auth0.com/", "sub": "auth0|64f0", "azp": "client",
				"aud":                               []string{"https://schoolbell.example", "https://north.eu.auth0.com/userinfo"},
				"https://schoolbell.example/school": "north",
				"https://schoolbell.example/id":     "g-0017",
				"https://schoolbell.example/roles":  []string{"guardian"},
				"scope":                             "openid", "permissions": []string{"events:read"},
			},
			auth.Principal{
				Subject: "g-0017", School: "north", Roles: []string{"guardian"},
				Scopes: []string{"events:read"},
			},
		},
		"Entra": {
			auth.Config{
				Issuer:   "https://login.microsoftonline.com/72f988bf/v2.0",
				Audience: "api://schoolbell", Claims: auth.Claims{Sub: "oid", School: "tid", Scope: "scp"},
			},
			jwt.MapClaims{
				"iss": "https://login.microsoftonline.com/72f988bf/v2.0", "aud": "api://schoolbell",
				"tid": "72f988bf", "oid": "690222be", "sub": "AAAAAIkzqFVrSaSaFHy782bbtaQ",
				"ver": "2.0", "azp": "6e74172b", "roles": []string{"accountant"},
				"scp": "events:write:fee", "preferred_username": "ada@north.example",
			},
			auth.Principal{
				Subject: "690222be", School: "72f988bf", Roles: []string{"accountant"},
				Scopes: []string{"events:write:fee"},
			},
		},
		"Google": {
			auth.Config{
				Issuer: "https://securetoken.google.com/north-school", Audience: "north-school",
				Claims: auth.Claims{Sub: "schoolbell_id"},
			},
			jwt.MapClaims{
				"iss": "https://securetoken.google.com/north-school", "aud": "north-school",
				"sub": "Kx3fA0", "user_id": "Kx3fA0", "auth_time": 1700000000,
				"email": "ada@north.example", "email_verified": true,
				"firebase": map[string]any{
					"identities":       map[string]any{"google.com": []string{"117"}},
					"sign_in_provider": "google.com",
				},
				"school": "north", "roles": []string{"student"}, "schoolbell_id": "s-0042",
			},
			auth.Principal{Subject: "s-0042", School: "north", Roles: []string{"student"}},
		},
	} {
		recipe.config.JWKS = set.URL
		times := goodClaims()
		token := jwt.MapClaims{"exp": times["exp"], "iat": times["iat"]}
		maps.Copy(token, recipe.token)
		v := verifier(t, recipe.config)
		got, err := v.Verify(sign(t, jwt.SigningMethodRS256, key, map[string]any{"kid": "k1"}, token))
		require.NoError(t, err, name)
		got.Expires, got.Issued = recipe.want.Expires, recipe.want.Issued
		if recipe.want.Scopes == nil {
			got.Scopes = nil
		}
		require.Equal(t, recipe.want, got, name)
	}
}

// Where a claim is mapped to, nothing stands in for it where it would be otherwise.
func TestAMappedClaimIsReadAtItsPathAlone(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	set := newKeySet(t, map[string]*rsa.PrivateKey{"k1": key})
	v := verifier(t, auth.Config{JWKS: set.URL, Claims: auth.Claims{
		School: "/org/school", Roles: "/a~1b/roles",
	}})
	verify := func(claims jwt.MapClaims) (auth.Principal, error) {
		return v.Verify(sign(t, jwt.SigningMethodRS256, key, map[string]any{"kid": "k1"}, claims))
	}
	c := goodClaims()
	c["roles"] = []string{"admin"} // of no account
	_, err := verify(c)
	require.EqualError(t, err, "token is not valid: it lacks the claim /org/school")
	c["org"] = map[string]any{"school": "north"}
	got, err := verify(c)
	require.NoError(t, err)
	require.Equal(t, "north", got.School)
	require.Empty(t, got.Roles)
	c["a/b"] = map[string]any{"roles": "teacher"}
	_, err = verify(c)
	require.EqualError(t, err, "token is not valid: its claim /a~1b/roles must be a list of texts")
	c["a/b"] = map[string]any{"roles": []string{"teacher"}}
	c["roles"] = 7
	got, err = verify(c)
	require.NoError(t, err)
	require.Equal(t, []string{"teacher"}, got.Roles)
}

// Whoever set a provider up wrongly reads in the response which claim is missing, and what it must be.
func TestErrorsNameTheClaim(t *testing.T) {
	t.Parallel()
	v := verifier(t, auth.Config{Secret: secret})
	for want, claims := range map[string]jwt.MapClaims{
		"it lacks the claim sub":                  without("sub"),
		"it lacks the claim school":               without("school"),
		"it lacks the claim exp":                  without("exp"),
		`its aud must be "schoolbell"`:            without("aud"),
		"its claim roles must be a list of texts": with("roles", "teacher"),
		"its claim school must be a text":         with("school", []string{"north"}),
		"its claim scope must be a text":          with("scope", []string{"events:read"}),
	} {
		_, err := v.Verify(sign(t, jwt.SigningMethodHS256, []byte(secret), nil, claims))
		require.EqualError(t, err, "token is not valid: "+want)
	}
}
