package auth

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// AllSchools is the school of an operator's token.
const AllSchools = "*"

// Roles that mean something to the rules below; package projections/query has all of them.
const (
	roleOperator = "operator"
	roleGuardian = "guardian"
	roleStudent  = "student"
)

// Principal is who bears a token.
type Principal struct {
	Subject string
	School  string // [AllSchools] is an operator of the platform
	Roles   []string
	Scopes  []string
	Expires time.Time
	Issued  time.Time // zero when the token does not say
	TokenID string    // its jti; empty when it has none
}

// Is reports that the bearer has a role.
func (p Principal) Is(role string) bool { return slices.Contains(p.Roles, role) }

// Operator reports that the bearer operates the platform, and may do anything at any school.
func (p Principal) Operator() bool { return p.School == AllSchools }

// ErrDenied says that a bearer may not do what was asked; what it wraps says why.
var ErrDenied = errors.New("not allowed")

// Need is what an operation asks of its caller: one of the roles, or the scope.
type Need struct {
	Roles []string
	Scope string
	// Own also lets in guardians and students, for what concerns their own student only.
	Own bool
}

// Access is how much of what was asked a bearer may have.
type Access uint8

// The degrees of access.
const (
	None Access = iota
	Own         // only what concerns the bearer's own student, which the caller has to check
	Full
)

// Authorize decides whether a bearer may do something at a school. Together with [AuthorizePlatform] it is the only place
// that does.
func Authorize(p Principal, school string, need Need) (Access, error) {
	switch {
	case school == "" || school == AllSchools:
		return None, fmt.Errorf("%w: no school is named", ErrDenied)
	case p.Operator():
		return Full, nil
	case p.School != school:
		return None, fmt.Errorf("%w: the token is for another school", ErrDenied)
	case p.Is(roleOperator), need.Scope != "" && slices.Contains(p.Scopes, need.Scope):
		return Full, nil
	case slices.ContainsFunc(need.Roles, p.Is):
		return Full, nil
	case need.Own && (p.Is(roleGuardian) || p.Is(roleStudent)):
		return Own, nil
	}
	return None, fmt.Errorf("%w: the token has none of the roles or scopes that this needs", ErrDenied)
}

// AuthorizePlatform decides whether a bearer may do something that concerns all schools at once: only operators of the
// platform may.
func AuthorizePlatform(p Principal) error {
	if p.Operator() {
		return nil
	}
	return fmt.Errorf("%w: this concerns all schools, and is for operators of the platform", ErrDenied)
}
