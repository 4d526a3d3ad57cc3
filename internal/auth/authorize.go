package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// AllSchools is the school of an operator's token.
const AllSchools = "*"

// Platform is the school of decisions about the platform, which no token is for.
const Platform = "-"

// The roles that the rules below know; package projections/query has all roles.
const (
	roleOperator = "operator"
	roleGuardian = "guardian"
	roleStudent  = "student"
)

// Principal is the bearer of a verified token.
type Principal struct {
	Subject string
	School  string // [AllSchools] is an operator of the platform
	Roles   []string
	Scopes  []string
	Expires time.Time
	Issued  time.Time // zero when the token has no iat
	TokenID string    // its jti; empty when it has none
}

// Is reports that the bearer has a role.
func (p Principal) Is(role string) bool { return slices.Contains(p.Roles, role) }

// Parts returns what the scopes below a wider one name: of events:write, attendance for
// events:write:attendance.
func (p Principal) Parts(scope string) (parts []string) {
	for _, s := range p.Scopes {
		if part, ok := strings.CutPrefix(s, scope+":"); ok && part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// Operator reports that the bearer operates the platform, and may do anything at any school. It
// takes the school and the role: one of them alone is a mistake in an identity provider's mapping,
// and gives no rights.
func (p Principal) Operator() bool { return p.School == AllSchools && p.Is(roleOperator) }

// ErrDenied is returned when a bearer may not do something; the text after it says why.
var ErrDenied = errors.New("not allowed")

// Need is what an operation requires of its caller: one of the roles, or the scope.
type Need struct {
	Roles []string
	Scope string
	// Parts also lets in for what a scope below Scope names, as events:write:attendance.
	Parts bool
	// Own also lets in guardians and students, but only for their own student.
	Own bool
	// Self also lets in every bearer with a role, but only for what is their own.
	Self bool
}

// String says what a token needs, in words for whoever has one that does not do.
func (n Need) String() string {
	roles := slices.Clone(n.Roles)
	if n.Own || n.Self {
		roles = append(roles, roleGuardian, roleStudent)
	}
	slices.Sort(roles)
	roles = slices.Compact(roles)
	text := "the role operator and the school " + AllSchools
	if len(roles) > 0 {
		text = "one of the roles " + strings.Join(roles, ", ")
	}
	if n.Scope != "" {
		text += " or the scope " + n.Scope
	}
	return text
}

// Access is how much of an operation a bearer may have.
type Access uint8

// The degrees of access.
const (
	None Access = iota
	Own         // only for what is the bearer's own, which the caller has to check
	Part        // only for the parts that the scopes name, which the caller has to check
	Full
)

// Authorize decides whether a bearer may do something at a school. Only [AuthorizePlatform] and it
// do, so that one page of code is to be read in an audit. The error wraps [ErrDenied].
func Authorize(p Principal, school string, need Need) (Access, error) {
	switch {
	case school == "" || school == AllSchools:
		return None, fmt.Errorf("%w: no school is named", ErrDenied)
	case p.Operator():
		return Full, nil
	case p.School == AllSchools:
		return None, fmt.Errorf("%w: a token for all schools needs the role operator", ErrDenied)
	case p.School != school:
		return None, fmt.Errorf("%w: the token is for another school", ErrDenied)
	case need.Scope != "" && slices.Contains(p.Scopes, need.Scope):
		return Full, nil
	case slices.ContainsFunc(need.Roles, p.Is):
		return Full, nil
	case need.Parts && len(p.Parts(need.Scope)) > 0:
		return Part, nil
	case need.Own && (p.Is(roleGuardian) || p.Is(roleStudent)):
		return Own, nil
	case need.Self && len(p.Roles) > 0:
		return Own, nil
	}
	return None, fmt.Errorf("%w: the token needs %s", ErrDenied, need)
}

// AuthorizePlatform decides whether a bearer may do something that concerns all schools: only
// operators of the platform may. The error wraps [ErrDenied].
func AuthorizePlatform(p Principal) error {
	if p.Operator() {
		return nil
	}
	return fmt.Errorf("%w: only for operators of the platform, because it concerns all schools: "+
		"the token needs the school * and the role operator", ErrDenied)
}
