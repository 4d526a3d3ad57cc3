package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/internal/auth"
)

// revokeRoutes add what refuses tokens before they expire. Those of operators are for no school.
func (a *API) revokeRoutes() {
	operation(a, huma.Operation{
		OperationID: "revoke-operator-tokens", Method: http.MethodDelete,
		Path:    operationsPath + "/users/{user}/tokens",
		Summary: "Revoke the tokens of an operator",
		Description: "As revoke-tokens does for the users of a school: what an operator of the " +
			"platform has is refused at all schools.",
		DefaultStatus: http.StatusNoContent, Errors: []int{409, 422},
	}, func(ctx context.Context, req *request, in *revokeInput) (*empty, error) {
		return nil, a.revokeTokens(ctx, auth.AllSchools, req, in)
	})
	handle(a, huma.Operation{
		OperationID: "revoke-tokens", Method: http.MethodDelete,
		Path: schoolPath + "/users/{user}/tokens",
		Tags: []string{tagLive}, Summary: "Revoke the tokens of a user",
		Description: "All tokens issued until now, or the one with an id, are refused by every " +
			"process within two seconds, and their live connections end. So do all links to " +
			"documents that the user got, unless it is about one token. Tokens issued later are " +
			"valid: make sure that the identity provider issues none.",
		DefaultStatus: http.StatusNoContent, Errors: []int{409, 422},
	}, needAdmin, func(ctx context.Context, req *request, in *revokeInput) (*empty, error) {
		return nil, a.revokeTokens(ctx, req.school, req, in)
	})
}

type revokeInput struct {
	User string `path:"user" maxLength:"255" doc:"The sub of the user's tokens"`
	ID   string `query:"id" maxLength:"255" doc:"The jti of one token; without it, all are revoked"`
	For  string `query:"for" default:"720h" doc:"How long the revocation lasts: at least the lifetime of your tokens, at most 2160h"`
}

func (a *API) revokeTokens(
	ctx context.Context, school string, req *request, in *revokeInput,
) error {
	lifetime, err := time.ParseDuration(in.For)
	if err != nil || lifetime <= 0 || lifetime > auth.MaxRevocation {
		return problem(http.StatusBadRequest,
			"for must be a duration of at most 2160h (90 days), for example 24h")
	}
	now := a.deps.Now()
	if in.ID == "" { // it also ends the user's links, which must not come back with a short one
		lifetime = max(lifetime, document.LinkValid)
	}
	err = a.deps.Revoke(ctx, auth.Revocation{
		School: school, User: in.User, TokenID: in.ID, At: now, Until: now.Add(lifetime),
	})
	if errors.Is(err, auth.ErrTooManyRevocations) {
		return problem(http.StatusConflict, "%s", err)
	}
	if err != nil {
		return unavailable(err, time.Second,
			"this process refuses the tokens, but the others could not be reached yet; try again")
	}
	// Whoever investigates an incident looks for this line.
	a.deps.Logger.InfoContext(ctx, "revoked tokens", "school", school, "user", in.User, "token",
		in.ID, "by", req.bearer.Subject)
	return nil
}
