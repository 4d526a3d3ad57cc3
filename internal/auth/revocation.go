package auth

import "time"

// Revocation refuses tokens that have not expired yet: those of a user that were issued up to a moment, or one of them.
type Revocation struct {
	School  string    `json:"school"`
	User    string    `json:"user"`
	TokenID string    `json:"token_id,omitzero"` // of one token; empty: of all
	At      time.Time `json:"at"`                // tokens that are issued later are good
	Until   time.Time `json:"until"`             // from then on it may be forgotten: what it refuses has expired
}

// Covers reports that a token is refused. Tokens say when they were issued in whole seconds: one of the same second is
// taken for older, as is one that does not say it.
func (r *Revocation) Covers(p Principal) bool {
	return p.School == r.School && p.Subject == r.User && (r.TokenID == "" || r.TokenID == p.TokenID) && !p.Issued.After(r.At)
}
