package config

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

// JWT says which tokens are accepted.
type JWT struct {
	Secret     string   `env:"SECRET" placeholder:"SECRET" secret:"" help:"HS256 secret of 32 bytes or more, for development. Without it and without a key set, one is generated and stored in the data directory."`
	JWKS       string   `name:"jwks" env:"JWKS" placeholder:"URL" help:"URL of the identity provider's key set, for production."`
	Algorithms []string `env:"ALGORITHMS" placeholder:"NAME" help:"Algorithms to accept with a key set (default RS256 and ES256)."`
	Issuer     string   `env:"ISSUER" placeholder:"NAME" help:"Issuer (iss) that tokens must have."`
	Audience   string   `env:"AUDIENCE" placeholder:"NAME" help:"Audience (aud) that tokens must have, with a key set (default schoolbell)."`

	ClaimSub    string `name:"claim-sub" env:"CLAIM_SUB" placeholder:"CLAIM" help:"Claim that names the bearer, with a key set (default sub). A name, or a JSON pointer such as /realm_access/roles."`
	ClaimSchool string `name:"claim-school" env:"CLAIM_SCHOOL" placeholder:"CLAIM" help:"Claim that names the school, likewise (default school)."`
	ClaimRoles  string `name:"claim-roles" env:"CLAIM_ROLES" placeholder:"CLAIM" help:"Claim that lists the roles, likewise (default roles)."`
	ClaimScope  string `name:"claim-scope" env:"CLAIM_SCOPE" placeholder:"CLAIM" help:"Claim that holds the scopes, likewise (default scope)."`
}

// Config returns the configuration of package auth. Without a secret and a key set it uses the
// secret stored in the data directory, and generates it the first time.
func (j JWT) Config(data string) (auth.Config, error) {
	c := j.given()
	var err error
	if c.Secret == "" && c.JWKS == "" {
		c.Secret, err = storedSecret(filepath.Join(data, SecretFile))
	}
	return c, err
}

// SecretFile holds the development secret, inside the data directory.
const SecretFile = "jwt-secret"

// EmbeddedPassword is the password of the embedded Kafka and Redis. It keeps other users of the
// machine out, to whom the ports are open.
func (c *Config) EmbeddedPassword() (string, error) {
	return storedSecret(c.Dir("embedded-password"))
}

// storedSecret returns the secret in a file, and generates it the first time. Processes that do so
// concurrently all get the same: only one of them can link its file to the name.
func storedSecret(file string) (string, error) {
	stored, err := readSecret(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return stored, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("create data directory: %w", err)
	}
	secret := rand.Text() + rand.Text()
	draft := file + "." + secret[:8]
	defer os.Remove(draft)
	if err := os.WriteFile(draft, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("store secret: %w", err)
	}
	if err := os.Link(draft, file); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("store secret: %w", err)
	}
	return readSecret(file)
}

func readSecret(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func (j JWT) validate() error {
	c := j.given()
	if c.Secret == "" && c.JWKS == "" {
		c.Secret = strings.Repeat("x", auth.MinSecretBytes)
	}
	return errors.Join(c.Validate(), refusePublished("jwt-secret", j.Secret))
}

func (j JWT) given() auth.Config {
	return auth.Config{
		Secret: j.Secret, JWKS: j.JWKS, Algorithms: j.Algorithms, Issuer: j.Issuer,
		Audience: j.Audience, Claims: auth.Claims{
			Sub: j.ClaimSub, School: j.ClaimSchool, Roles: j.ClaimRoles, Scope: j.ClaimScope,
		},
	}
}

// published are secrets that earlier versions of deploy/compose.yaml set: whoever reads the
// repository could sign tokens and links with them.
var published = []string{
	"a-secret-for-trying-it-out-and-nothing-else",
	"another-secret-for-trying-it-out-and-nothing-else",
}

// refusePublished returns an error for a secret that everybody can know.
func refusePublished(name, secret string) error {
	if !slices.Contains(published, secret) {
		return nil
	}
	return fmt.Errorf("%s: this secret is published in Schoolbell's repository, so that anybody "+
		"could use it: set one of your own, such as the output of openssl rand -hex 32", name)
}

// Log is how the log is written.
type Log struct {
	Format string     `env:"FORMAT" default:"text" enum:"text,json" help:"Format of log lines: ${enum}."`
	Level  slog.Level `env:"LEVEL" default:"info" help:"Lowest level to log: debug (with every request), info, warn or error."`
}

// Config returns the configuration of package telemetry's logger.
func (l Log) Config() telemetry.LogConfig {
	return telemetry.LogConfig{Format: l.Format, Level: l.Level}
}

func (l Log) validate() error { return l.Config().Validate() }

// Trace is where traces go.
type Trace struct {
	Endpoint string  `env:"ENDPOINT" placeholder:"URL" help:"OTLP collector over HTTP, for example http://localhost:4318. Without one, nothing is traced."`
	Ratio    float64 `env:"RATIO" default:"1" help:"Share of requests to trace, between 0 and 1."`
}

// Config returns the configuration of package telemetry's traces.
func (t Trace) Config() telemetry.TraceConfig {
	return telemetry.TraceConfig{Endpoint: t.Endpoint, Ratio: t.Ratio}
}

func (t Trace) validate() error { return t.Config().Validate() }
