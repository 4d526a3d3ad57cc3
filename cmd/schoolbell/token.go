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
	School schoolID      `required:"" placeholder:"S" help:"School that the token is for; * is a platform operator's."`
	Sub    string        `required:"" placeholder:"U" help:"Who bears it: a guardian's or student's id, or any name."`
	Role   []string      `placeholder:"ROLE" enum:"admin,teacher,accountant,guardian,student,operator" help:"What the bearer is: ${enum}."`
	Scope  []string      `placeholder:"SCOPE" help:"What the bearer may do besides, as events:write."`
	TTL    time.Duration `name:"ttl" default:"24h" help:"How long it is valid."`
	Data   string        `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory whose secret signs it."`
	Secret string        `env:"SCHOOLBELL_JWT_SECRET" placeholder:"SECRET" help:"Secret that signs it instead."`
	JSON   bool          `name:"json" help:"Print JSON."`
}

func (*tokenCommand) Help() string {
	return `The token is signed with the development secret. In production tokens come from your identity provider.

Examples:

  export SCHOOLBELL_TOKEN=$(schoolbell token --school school-001 --sub ada --role admin)
  schoolbell token --school school-001 --sub sis --scope events:write
  schoolbell token --school '*' --sub ops --role operator --ttl 15m`
}

func (c *tokenCommand) Run(io streams) error {
	if c.TTL <= 0 {
		return usageError{errors.New("--ttl: a token must be valid for a while")}
	}
	if c.Sub == "" {
		return usageError{errors.New("--sub: say who bears it")}
	}
	if len(c.Role) == 0 && len(c.Scope) == 0 {
		return usageError{errors.New("--role or --scope: say what the bearer may do")}
	}
	if c.School == auth.AllSchools != (len(c.Role) == 1 && c.Role[0] == "operator") {
		return usageError{errors.New("--role operator goes with --school '*', and other roles with a school")}
	}
	data := filepath.Clean(c.Data)
	if c.Secret == "" && !program.IsDataDir(data) {
		return fmt.Errorf("%s is not the data directory of a schoolbell serve: name it with --data, start one, or give the secret", data)
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
