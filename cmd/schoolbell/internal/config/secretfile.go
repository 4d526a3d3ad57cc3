package config

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// secretFile is the variable that names the file of a flag's secret, and the file; empty when the
// flag is no secret, or its variable is not set.
func secretFile(f *kong.Flag) (variable, file string) {
	if !f.Tag.Has("secret") || len(f.Envs) == 0 {
		return "", ""
	}
	variable = f.Envs[0] + "_FILE"
	return variable, os.Getenv(variable)
}

// SecretFromFile is a [kong.ResolverFunc] that reads a secret from the file that the secret's
// variable with _FILE names, as containers and service managers hand secrets over: neither the
// command line nor the environment of the process has it then.
func SecretFromFile(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	variable, file := secretFile(f)
	if file == "" {
		return nil, nil
	}
	if _, both := os.LookupEnv(f.Envs[0]); both {
		return nil, fmt.Errorf("%s and %s are both set: keep one", f.Envs[0], variable)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	return strings.TrimSpace(string(b)), nil
}
