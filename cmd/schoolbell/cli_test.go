package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/config"
)

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	parser, err := newParser(streams{out: os.Stdout, err: os.Stderr})
	require.NoError(t, err)
	for _, leaf := range parser.Model.Leaves(true) {
		t.Run(leaf.Path(), func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := command(t, append(strings.Fields(leaf.FullPath())[1:], "--help")...)
			require.Equal(t, exitDone, code)
			require.Empty(t, stderr)
			require.Contains(t, stdout, "Usage: schoolbell")
			require.NotContains(t, stdout, "${", "a placeholder was not filled in")
			for line := range strings.Lines(stdout) {
				require.LessOrEqual(t, len([]rune(line)), 240, line)
			}
		})
	}
}

func TestWrongUsageIsToldFromFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"serve", "--no-such-flag"}, exitUsage, "--no-such-flag"},
		{[]string{"ring"}, exitUsage, "ring"},
		{[]string{"token", "--school=s"}, exitUsage, "--role"},
		{[]string{"token", "--school=s", "--sub=u", "--role=operator"}, exitUsage, "--school '*'"},
		{[]string{"serve", "--roles=porter"}, exitUsage, "is not one of"},
		{[]string{"tail", "--school=s", "--from=here"}, exitUsage, "--from"},
		{[]string{"status", "--data=/nowhere"}, exitFailed, "no schoolbell serve runs on the data directory /nowhere"},
	} {
		code, _, stderr := command(t, c.args...)
		require.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		require.Contains(t, stderr, c.says)
	}
}

func TestAllFaultsOfTheConfigurationAreToldAtOnce(t *testing.T) {
	t.Parallel()
	code, _, stderr := command(t, "serve", "--http=nowhere", "--roles=ingest,teach", "--kafka-brokers=no-port", "--kafka-sasl-username=u",
		"--database-url=::", "--redis-url=http://x", "--jwt-secret=short", "--trace-ratio=2", "--grace=0s")
	require.Equal(t, exitUsage, code)
	for _, fault := range []string{"http:", `"teach"`, `"no-port"`, "kafka-sasl-mechanism", "database URL", "redis URL", "secret has 5 bytes", "trace ratio 2", "grace"} {
		require.Contains(t, stderr, fault)
	}
	require.NotContains(t, stderr, "short", "secrets are not repeated")
}

func TestVariablesThatCannotBeReadAreToldAtOnce(t *testing.T) {
	t.Setenv("SCHOOLBELL_GRACE", "soon")
	t.Setenv("SCHOOLBELL_KAFKA_PARTITIONS", "many")
	code, _, stderr := command(t, "serve")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "SCHOOLBELL_GRACE")
	require.Contains(t, stderr, "SCHOOLBELL_KAFKA_PARTITIONS")
}

func TestConfigTellsWhereEachValueComesFrom(t *testing.T) {
	t.Setenv("SCHOOLBELL_DATABASE_URL", "postgres://ada:hush@db/school")
	t.Setenv("SCHOOLBELL_JWT_SECRET", testSecret)
	code, stdout, stderr := command(t, "config", "--json", "--http=127.0.0.1:1")
	require.Equal(t, exitDone, code, stderr)
	var settings []config.Setting
	require.NoError(t, json.Unmarshal([]byte(stdout), &settings))
	got := map[string]config.Setting{}
	for _, s := range settings {
		got[s.Flag] = s
	}
	require.Equal(t, config.Setting{Flag: "--http", Variable: "SCHOOLBELL_HTTP", Value: "127.0.0.1:1", From: "flag"}, got["--http"])
	require.Equal(t, config.Setting{Flag: "--ops", Variable: "SCHOOLBELL_OPS", Value: "127.0.0.1:9090", From: "default"}, got["--ops"])
	require.Equal(t, config.Setting{Flag: "--database-url", Variable: "SCHOOLBELL_DATABASE_URL", Value: "postgres://ada:xxxxx@db/school", From: "variable"}, got["--database-url"])
	require.Equal(t, "xxxxx", got["--jwt-secret"].Value)
	require.NotContains(t, stdout, "hush")
	require.NotContains(t, stdout, testSecret)
}

func TestEverySettingIsInTheDocumentation(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	require.NoError(t, err)
	code, stdout, stderr := command(t, "config", "--json")
	require.Equal(t, exitDone, code, stderr)
	var settings []config.Setting
	require.NoError(t, json.Unmarshal([]byte(stdout), &settings))
	for _, s := range settings {
		require.Contains(t, string(text), "| `"+s.Flag+"` | `"+s.Variable+"` |")
	}
}

func TestTheDevelopmentSecretIsMadeOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	code, first, stderr := command(t, "token", "--data", dir, "--school=s", "--sub=u", "--role=admin")
	require.Equal(t, exitDone, code, stderr)
	require.Equal(t, 2, strings.Count(first, "."))
	secret, err := os.ReadFile(filepath.Join(dir, config.SecretFile))
	require.NoError(t, err)
	_, _, _ = command(t, "token", "--data", dir, "--school=s", "--sub=u", "--role=admin")
	again, err := os.ReadFile(filepath.Join(dir, config.SecretFile))
	require.NoError(t, err)
	require.Equal(t, secret, again)
	info, err := os.Stat(filepath.Join(dir, config.SecretFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestTheCatalogHasThreeForms(t *testing.T) {
	t.Parallel()
	for format, sign := range map[string]string{"markdown": "schoolbell.fee.invoiced.v1", "json-schema": `"$schema"`, "asyncapi": `"asyncapi"`} {
		code, stdout, stderr := command(t, "catalog", "--format", format)
		require.Equal(t, exitDone, code, stderr)
		require.Contains(t, stdout, sign)
	}
}
