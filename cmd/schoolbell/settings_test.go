package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// flagsOf returns the flags of commands and of those below them.
func flagsOf(commands ...*kong.Node) (flags []*kong.Flag) {
	for _, c := range commands {
		flags = append(append(flags, c.Flags...), flagsOf(c.Children...)...)
	}
	return flags
}

func commandModel(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := newParser(streams{out: io.Discard, err: io.Discard})
	require.NoError(t, err)
	return parser.Model
}

// A variable that holds a secret for one command may name a file for all: containers and service
// managers hand the same secrets to each.
func TestASecretMayBeAFileForEveryCommand(t *testing.T) {
	t.Parallel()
	flags := flagsOf(commandModel(t).Node)
	secret := map[string]bool{}
	for _, f := range flags {
		for _, name := range f.Envs {
			secret[name] = secret[name] || f.Tag.Has("secret")
		}
	}
	require.True(t, secret["SCHOOLBELL_JWT_SECRET"])
	for _, f := range flags {
		for _, name := range f.Envs {
			require.Equal(t, secret[name], f.Tag.Has("secret"), "--%s of some commands", f.Name)
		}
	}
}

// A value of the chart that names no setting fails the installation, and a secret cannot be given
// in the open.
func TestTheChartKnowsEverySetting(t *testing.T) {
	t.Parallel()
	// These follow from other values of the chart, or from the image.
	made := []string{
		"SCHOOLBELL_ROLES", "SCHOOLBELL_DATABASE_MIGRATE", "SCHOOLBELL_DRAIN_DELAY", "SCHOOLBELL_GRACE",
		"SCHOOLBELL_HTTP", "SCHOOLBELL_OPS", "SCHOOLBELL_DATA",
	}
	var settings, secrets []string
	for _, command := range commandModel(t).Children {
		if command.Name != "serve" {
			continue
		}
		for _, f := range command.Flags {
			if len(f.Envs) == 0 || slices.Contains(made, f.Envs[0]) {
				continue
			}
			if f.Tag.Has("secret") {
				secrets = append(secrets, f.Envs[0])
			}
			// Not every URL has a password.
			if !f.Tag.Has("secret") || strings.HasSuffix(f.Envs[0], "_URL") {
				settings = append(settings, f.Envs[0])
			}
		}
	}
	b, err := os.ReadFile("../../deploy/helm/schoolbell/values.schema.json")
	require.NoError(t, err)
	var schema struct {
		Defs map[string]struct {
			PropertyNames struct {
				Enum []string `json:"enum"`
			} `json:"propertyNames"`
		} `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(b, &schema))
	require.ElementsMatch(t, settings, schema.Defs["settings"].PropertyNames.Enum)
	require.ElementsMatch(t, secrets, schema.Defs["secrets"].PropertyNames.Enum)
}
