package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/schoolbell/schoolbell/internal/auth"
)

type revokeCommand struct {
	remote `embed:""`

	School  string        `required:"" placeholder:"S" help:"School of the user; * for an operator of the platform."`
	User    string        `required:"" placeholder:"U" help:"Subject (sub) of the user's tokens."`
	TokenID string        `name:"token-id" placeholder:"JTI" help:"Only the token with this id (jti)."`
	For     time.Duration `default:"720h" help:"Maximum lifetime of a token; the revocation is stored that long, at most 2160h."`
}

func (*revokeCommand) Help() string {
	return `Rejects all tokens of a user that were issued until now, in all processes within two seconds, and closes
live connections made with them. Tokens issued later are valid, so stop issuing them first.

Examples:

  schoolbell revoke --school school-001 --user ada
  schoolbell revoke --school school-001 --user ada --token-id 4Q7XK2 --for 24h
  schoolbell revoke --school '*' --user ops          an operator of the platform`
}

func (c *revokeCommand) Run(ctx context.Context, io streams) error {
	if c.For <= 0 {
		return usageError{errors.New("--for: must be more than zero")}
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	query := url.Values{"for": {c.For.String()}}
	what := "All tokens"
	if c.TokenID != "" {
		query.Set("id", c.TokenID)
		what = "The token"
	}
	of, where := "/v1/schools/"+url.PathEscape(c.School), "at "+c.School
	if c.School == auth.AllSchools {
		of, where = "/v1/operations", "at all schools"
	}
	path := fmt.Sprintf("%s/users/%s/tokens?%s", of, url.PathEscape(c.User), query.Encode())
	if err := api.Delete(ctx, path); err != nil {
		return err
	}
	_, err = fmt.Fprintf(io.out, "%s of %s %s issued until now: revoked.\n", what, c.User, where)
	return err
}
