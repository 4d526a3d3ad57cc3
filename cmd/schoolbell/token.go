package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/auth"
)

type tokenCommand struct {
	School schoolID      `required:"" placeholder:"S" help:"School of the bearer; * for a platform operator."`
	Sub    string        `required:"" placeholder:"U" help:"Subject: the id of a guardian or student, or any other name."`
	Role   []string      `placeholder:"ROLE" enum:"admin,office,teacher,accountant,analyst,guardian,student,operator" help:"Role of the bearer: ${enum}."`
	Scope  []string      `placeholder:"SCOPE" help:"Additional scope, for example events:write."`
	TTL    time.Duration `name:"ttl" default:"24h" help:"How long the token is valid."`
	Data   string        `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory with the secret."`
	Secret string        `env:"SCHOOLBELL_JWT_SECRET" placeholder:"SECRET" secret:"" help:"Secret (default: the one in the data directory)."`
	JSON   bool          `name:"json" help:"Print JSON."`
}

func (*tokenCommand) Help() string {
	return `The token is signed with the development secret. In production, tokens come from your identity provider.
To set SCHOOLBELL_URL and SCHOOLBELL_TOKEN in one go, see schoolbell env.

Examples:

  export SCHOOLBELL_TOKEN=$(schoolbell token --school school-001 --sub ada --role admin)
  schoolbell token --school school-001 --sub sis --scope events:write
  schoolbell token --school '*' --sub ops --role operator --ttl 15m`
}

func (c *tokenCommand) Run(io streams) error {
	if c.TTL <= 0 {
		return usageError{errors.New("--ttl: must be more than zero")}
	}
	if c.Sub == "" {
		return usageError{errors.New("--sub: must not be empty")}
	}
	if len(c.Role) == 0 && len(c.Scope) == 0 {
		return usageError{errors.New("give --role or --scope: without one the token allows nothing")}
	}
	if c.School == auth.AllSchools != (len(c.Role) == 1 && c.Role[0] == "operator") {
		return usageError{errors.New("--role operator needs --school '*', and other roles need a school")}
	}
	if c.School == auth.Platform {
		return usageError{fmt.Errorf("--school: %s is not a school: the platform's own decisions "+
			"are behind it", c.School)}
	}
	data := filepath.Clean(c.Data)
	if c.Secret == "" && !program.IsDataDir(data) {
		return fmt.Errorf("%s is not the data directory of a schoolbell serve: give it with "+
			"--data, start one, or give the secret", data)
	}
	secret, err := config.JWT{Secret: c.Secret}.Config(data)
	if err != nil {
		return err
	}
	if err := secret.Validate(); err != nil {
		return usageError{err}
	}
	now := time.Now()
	expires := now.Add(c.TTL)
	token, err := auth.Mint(secret.Secret, auth.Principal{
		Subject: c.Sub, School: string(c.School), Roles: c.Role, Scopes: c.Scope, Expires: expires,
	}, now)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, map[string]any{"token": token, "expires": expires.UTC().Format(time.RFC3339)})
	}
	_, err = fmt.Fprintln(io.out, token)
	return err
}
