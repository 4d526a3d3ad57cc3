package auth

import (
	"errors"
	"time"
)

// MaxRevocation is how long a revocation may last. Tokens that are valid for longer are a fault of
// who issues them.
const MaxRevocation = 90 * 24 * time.Hour

// ErrTooManyRevocations says that a school has as many revocations in force as it may.
var ErrTooManyRevocations = errors.New("this school has 10,000 revocations in force, as many as " +
	"it may; revoke all tokens of a user with one, without the id of a token")

// Revocation refuses tokens before they expire: all that a user got up to a moment, or one of them.
type Revocation struct {
	School  string    `json:"school"`
	User    string    `json:"user"`
	TokenID string    `json:"token_id,omitzero"` // of one token; empty: all tokens
	At      time.Time `json:"at"`                // tokens issued later are valid
	// afterwards it may be deleted: the tokens have expired
	Until time.Time `json:"until"`
}

// Covers reports whether a token is refused. A token's iat is in whole seconds: one of the same
// second counts as older, and so does one without it, since refusing a valid token is the smaller
// harm.
func (r *Revocation) Covers(p Principal) bool {
	return p.School == r.School && p.Subject == r.User &&
		(r.TokenID == "" || r.TokenID == p.TokenID) && !p.Issued.After(r.At)
}
