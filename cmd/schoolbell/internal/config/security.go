package config

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

// JWT says which tokens are believed.
type JWT struct {
	Secret     string   `env:"SECRET" placeholder:"SECRET" secret:"" help:"Secret for HS256, of 32 bytes or more, for development. Without it and a key set, one is made and kept in the data directory."`
	JWKS       string   `name:"jwks" env:"JWKS" placeholder:"URL" help:"Key set of the identity provider, for production."`
	Algorithms []string `env:"ALGORITHMS" placeholder:"NAME" help:"With a key set, the algorithms to accept; else RS256 and ES256."`
	Issuer     string   `env:"ISSUER" placeholder:"NAME" help:"The issuer that tokens must have."`
}

// Config returns the configuration of package auth. The secret that is kept in the data directory is used, and made the
// first time, when neither a secret nor a key set is given.
func (j JWT) Config(data string) (auth.Config, error) {
	c := auth.Config{Secret: j.Secret, JWKS: j.JWKS, Algorithms: j.Algorithms, Issuer: j.Issuer}
	var err error
	if c.Secret == "" && c.JWKS == "" {
		c.Secret, err = storedSecret(filepath.Join(data, SecretFile))
	}
	return c, err
}

// SecretFile is where the development secret is kept, inside the data directory.
const SecretFile = "jwt-secret"

// storedSecret returns the secret in a file, and makes it the first time. Of several processes that make it at once, all
// get the same.
func storedSecret(file string) (string, error) {
	kept, err := readSecret(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return kept, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	secret := rand.Text() + rand.Text()
	made := file + "." + secret[:8]
	defer os.Remove(made)
	if err := os.WriteFile(made, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep development secret: %w", err)
	}
	if err := os.Link(made, file); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("keep development secret: %w", err)
	}
	return readSecret(file)
}

func readSecret(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read development secret: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func (j JWT) validate() error {
	c := auth.Config{Secret: j.Secret, JWKS: j.JWKS, Algorithms: j.Algorithms, Issuer: j.Issuer}
	if c.Secret == "" && c.JWKS == "" {
		c.Secret = strings.Repeat("x", auth.MinSecretBytes)
	}
	return c.Validate()
}

// Log is how the log is written.
type Log struct {
	Format string     `env:"FORMAT" default:"text" enum:"text,json" help:"text or json."`
	Level  slog.Level `env:"LEVEL" default:"info" help:"debug, info, warn or error."`
}

// Config returns the configuration of package telemetry's logger.
func (l Log) Config() telemetry.LogConfig {
	return telemetry.LogConfig{Format: l.Format, Level: l.Level}
}

func (l Log) validate() error { return l.Config().Validate() }

// Trace is where traces go.
type Trace struct {
	Endpoint string  `env:"ENDPOINT" placeholder:"URL" help:"OTLP collector over HTTP, as http://localhost:4318. Without it there are no traces."`
	Ratio    float64 `env:"RATIO" default:"1" help:"Share of the traces started here that are kept."`
}

// Config returns the configuration of package telemetry's traces.
func (t Trace) Config() telemetry.TraceConfig {
	return telemetry.TraceConfig{Endpoint: t.Endpoint, Ratio: t.Ratio}
}

func (t Trace) validate() error { return t.Config().Validate() }
