package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/auth"
)

type envCommand struct {
	School string `placeholder:"S" help:"School of the token (default: the school that serve printed)."`
	Data   string `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory of a running serve."`
	Secret string `env:"SCHOOLBELL_JWT_SECRET" placeholder:"SECRET" secret:"" help:"Secret (default: the one in the data directory)."`
}

func (*envCommand) Help() string {
	return `Prints export lines for SCHOOLBELL_URL and SCHOOLBELL_TOKEN, an administrator's token that is valid for a
day. For other roles, see schoolbell token.

Examples:

  eval "$(schoolbell env)"
  eval "$(schoolbell env --school north)"`
}

func (c *envCommand) Run(io streams) error {
	at, err := program.ReadAddress(c.Data)
	if err != nil {
		return err
	}
	// Without this check a secret would be generated, and sign a token that the serve rejects.
	_, err = os.Stat(filepath.Join(c.Data, config.SecretFile))
	if c.Secret == "" && errors.Is(err, fs.ErrNotExist) {
		return errors.New("this serve does not use the secret of its data directory: set " +
			"SCHOOLBELL_JWT_SECRET, or get a token from your identity provider")
	}
	tokens, err := config.JWT{Secret: c.Secret}.Config(c.Data)
	if err != nil {
		return err
	}
	token, err := adminToken(tokens.Secret, cmp.Or(c.School, at.School))
	if err != nil {
		return err
	}
	_, err = io.out.Write(exportLines(at, token))
	return err
}

// adminToken signs a token for an administrator of a school, for a day.
func adminToken(secret, school string) (string, error) {
	now := time.Now()
	return auth.Mint(secret, auth.Principal{
		Subject: "demo", School: school, Roles: []string{"admin"}, Expires: now.Add(24 * time.Hour),
	}, now)
}

func exportLines(at program.Address, token string) []byte {
	return fmt.Appendf(nil, "export SCHOOLBELL_URL=%s\nexport SCHOOLBELL_TOKEN=%s\n", at.HTTP, token)
}
