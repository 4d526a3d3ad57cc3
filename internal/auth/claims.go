package auth

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// Claims says where a token's claims are. Each is the name of a claim, or, with a slash at its
// beginning, a JSON pointer (RFC 6901) into the token, such as /realm_access/roles. Empty is the
// name of the field in small letters.
type Claims struct {
	Sub    string // a text: who the bearer is at the school
	School string // a text
	Roles  string // a list of texts
	Scope  string // a text with spaces between the scopes, or, when it is mapped, a list
}

func (c Claims) mapped() bool { return c != Claims{} }

// validate reports pointers that are none.
func (c Claims) validate() error {
	var errs []error
	for _, path := range [...]string{c.Sub, c.School, c.Roles, c.Scope} {
		if !strings.HasPrefix(path, "/") {
			continue
		}
		for token := range strings.SplitSeq(path[1:], "/") {
			rest := strings.NewReplacer("~0", "", "~1", "").Replace(token)
			if token == "" || strings.Contains(rest, "~") {
				errs = append(errs, fmt.Errorf("auth: claim %q is no JSON pointer such as "+
					"/realm_access/roles", path))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// claims are the claims of a token.
type claims struct {
	jwt.RegisteredClaims
	School string   `json:"school"`
	Roles  []string `json:"roles,omitempty"`
	Scope  string   `json:"scope,omitempty"`

	paths Claims
}

var errRepeatedClaim = errors.New("repeated claim")

// claimError says what a claim must be.
type claimError struct{ claim, must string }

func (e *claimError) Error() string { return "its claim " + e.claim + " must be " + e.must }

// What claims must be.
const (
	aText   = "a text"
	aList   = "a list of texts"
	aNumber = "a number of seconds since 1970"
)

// forms are what the claims must be that have no other place.
var forms = map[string]string{
	"sub": aText, "school": aText, "scope": aText, "jti": aText, "iss": aText, "roles": aList,
	"aud": "a text or a list of texts", "exp": aNumber, "iat": aNumber, "nbf": aNumber,
}

// UnmarshalJSON takes claims by their exact names, and each of them once. The standard library would
// also take School for school, and the last of two: some identity providers let users choose names
// of claims, and those must not stand in for ours.
func (c *claims) UnmarshalJSON(b []byte) error {
	type exact claims
	read := exact{paths: c.paths}
	var members map[string]jsontext.Value
	if c.paths.mapped() {
		var err error
		if members, err = object(b); err != nil {
			return err
		}
		for name, path := range map[string]string{
			"sub": c.paths.Sub, "school": c.paths.School, "roles": c.paths.Roles,
			"scope": c.paths.Scope,
		} {
			if path != "" { // it is looked for elsewhere, so what is here does not count
				delete(members, name)
			}
		}
		rest, err := json.Marshal(members)
		if err != nil {
			return err
		}
		if err := unmarshal(rest, &read); err != nil {
			return err
		}
		*c = claims(read)
		return c.take(b)
	}
	if err := unmarshal(b, &read); err != nil {
		return err
	}
	*c = claims(read)
	return nil
}

func unmarshal(b []byte, into any) error {
	err := json.Unmarshal(b, into)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return errRepeatedClaim
	}
	if form, ok := errors.AsType[*json.SemanticError](err); ok {
		name, _, _ := strings.Cut(strings.TrimPrefix(string(form.JSONPointer), "/"), "/")
		if must, ours := forms[name]; ours {
			return &claimError{name, must}
		}
	}
	return err
}

func object(b []byte) (members map[string]jsontext.Value, err error) {
	return members, unmarshal(b, &members)
}

// take reads the claims that are elsewhere.
func (c *claims) take(b []byte) error {
	for path, into := range map[string]*string{c.paths.Sub: &c.Subject, c.paths.School: &c.School} {
		if path == "" {
			continue
		}
		if err := read(b, path, aText, into); err != nil {
			return err
		}
	}
	if c.paths.Roles != "" {
		if err := read(b, c.paths.Roles, aList, &c.Roles); err != nil {
			return err
		}
	}
	if c.paths.Scope == "" {
		return nil
	}
	var list []string
	if read(b, c.paths.Scope, aList, &list) == nil {
		c.Scope = strings.Join(list, " ")
		return nil
	}
	return read(b, c.paths.Scope, "a text or a list of texts", &c.Scope)
}

// read reads the claim at a path, if there is one.
func read(b []byte, path, must string, into any) error {
	value, found := find(b, path)
	if !found || bytes.Equal(value, []byte("null")) {
		return nil
	}
	if json.Unmarshal(value, into) != nil {
		return &claimError{path, must}
	}
	return nil
}

// find looks a claim up by its name or pointer.
func find(b []byte, path string) (value jsontext.Value, found bool) {
	names := []string{path}
	if pointer, ok := strings.CutPrefix(path, "/"); ok {
		names = strings.Split(pointer, "/")
		for i, name := range names {
			names[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		}
	}
	value = b
	for _, name := range names {
		members, err := object(value)
		if err != nil {
			return nil, false
		}
		if value, found = members[name]; !found {
			return nil, false
		}
	}
	return value, true
}
