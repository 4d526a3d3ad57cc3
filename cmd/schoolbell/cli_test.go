package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/devstack"
	"github.com/schoolbell/schoolbell/internal/golden"
)

// TestHelpGolden compares the help of every command, as a terminal of 100 columns shows it.
func TestHelpGolden(t *testing.T) {
	t.Setenv("COLUMNS", "100")
	parser, err := newParser(streams{out: os.Stdout, err: os.Stderr})
	require.NoError(t, err)
	var all strings.Builder
	var visit func(*kong.Node)
	visit = func(node *kong.Node) {
		if node.Hidden {
			return
		}
		args := strings.Fields(node.FullPath())[1:]
		code, stdout, stderr := command(t, append(slices.Clip(args), "--help")...)
		require.Equal(t, exitDone, code)
		require.Empty(t, stderr)
		require.NotContains(t, stdout, "${", "a placeholder was not filled in")
		fmt.Fprintf(
			&all, "$ schoolbell %s\n%s\n", strings.Join(append(args, "--help"), " "), stdout,
		)
		for _, child := range node.Children {
			visit(child)
		}
	}
	visit(parser.Model.Node)
	golden.Check(t, "testdata/help.txt", []byte(all.String()))
}

// The names that commands had before v0.1.0 say what they are called now.
func TestRenamedCommandsSayTheirNewNames(t *testing.T) {
	t.Parallel()
	for old, now := range map[string]string{
		"jobs aside list": "schoolbell deadletters", "jobs mend": "schoolbell jobs repair",
	} {
		code, _, stderr := command(t, strings.Fields(old)...)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, now)
	}
}

func TestWrongUsageIsDistinguishedFromFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"serve", "--no-such-flag"}, exitUsage, "--no-such-flag"},
		{[]string{"ring"}, exitUsage, "ring"},
		{[]string{"token", "--school=s"}, exitUsage, "--sub"},
		{[]string{"token", "--school=s", "--sub=u"}, exitUsage, "--role"},
		{[]string{"token", "--school=s", "--sub=u", "--role=operator"}, exitUsage, "--school '*'"},
		{[]string{"token", "--school=s", "--sub="}, exitUsage, "--sub"},
		{[]string{"token", "--school=", "--sub=u", "--role=admin"}, exitUsage, "--school"},
		{[]string{"token", "--school=-", "--sub=u", "--role=admin"}, exitUsage, "--school"},
		{[]string{"tail", "--school="}, exitUsage, "--school"},
		{[]string{"cache", "invalidate", "--school", ""}, exitUsage, "--school"},
		{[]string{"cache", "invalidate", "--school=s", "nosuch"}, exitUsage, `"nosuch" is no query`},
		{[]string{"log", "accept", "--yes", "--reason=a\x1b[2Jb"}, exitUsage, "--reason"},
		{[]string{"log", "accept", "--yes", "--reason=a", "--by=a\nb"}, exitUsage, "--by"},
		{[]string{"simulate", "--rate", "-5"}, exitUsage, "--rate=-5"},
		{[]string{"simulate", "--days", "-5"}, exitUsage, "--days=-5"},
		{[]string{"simulate", "--rate=-5"}, exitUsage, "--rate must not be negative"},
		{[]string{"serve", "--roles=porter"}, exitUsage, "is not one of"},
		{[]string{"tail", "--school=s", "--from=here"}, exitUsage, "--from"},
		{[]string{"status", "--data=/nowhere"}, exitFailed, "no schoolbell serve runs on the data directory /nowhere"},
	} {
		code, _, stderr := command(t, c.args...)
		require.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		require.Contains(t, stderr, c.says)
	}
}

func TestConfigWarnsWithoutAKeyForResumeTokens(t *testing.T) {
	t.Parallel()
	provider := []string{"config", "--jwt-jwks=https://id.school.example/keys"}
	for _, c := range []struct {
		args    []string
		advised bool
	}{
		{provider, true},
		{append(slices.Clip(provider), "--realtime-key=sixteen bytes or more"), false},
		{append(slices.Clip(provider), "--roles=api"), false},
		{[]string{"config"}, false}, // derived from the secret of the tokens
	} {
		code, _, stderr := command(t, c.args...)
		require.Equal(t, exitDone, code, stderr)
		require.Equal(
			t, c.advised, strings.Contains(stderr, "SCHOOLBELL_REALTIME_KEY"), "%v: %s", c.args,
			stderr,
		)
	}
}

func TestConfigWarnsOfTokensOfAnyIssuer(t *testing.T) {
	t.Parallel()
	const provider = "--jwt-jwks=https://login.example/common/keys"
	_, _, stderr := command(t, "config", provider)
	require.Contains(t, stderr, "SCHOOLBELL_JWT_ISSUER")
	_, _, stderr = command(t, "config", provider, "--jwt-issuer=https://login.example/us")
	require.NotContains(t, stderr, "SCHOOLBELL_JWT_ISSUER")
}

// What deploy/compose.yaml of v0.1.0 set can be read by anybody.
func TestPublishedSecretsAreRefused(t *testing.T) {
	t.Parallel()
	code, _, stderr := command(t, "serve", "--data="+t.TempDir(),
		"--jwt-secret=a-secret-for-trying-it-out-and-nothing-else",
		"--documents-link-key=another-secret-for-trying-it-out-and-nothing-else")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "jwt-secret: this secret is published")
	require.Contains(t, stderr, "documents-link-key: this secret is published")
}

// A stolen token is no pump of texts: without any setting there are limits, and no premium numbers.
func TestSpendingOnTextsIsLimitedByDefault(t *testing.T) {
	t.Parallel()
	_, stdout, _ := command(t, "config")
	for setting, value := range map[string]string{
		"--sms-per-school": "10000", "--sms-per-number": "25", "--sms-premium": "false",
	} {
		require.Regexp(t, `(?m)^`+setting+` +\S+ +`+value+` +default$`, stdout)
	}
}

func TestTheCompositionHasNoKnownSecretAndNoOpenPort(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../deploy/compose.yaml")
	require.NoError(t, err)
	require.NotContains(t, string(b), "_SECRET:-")
	require.NotContains(t, string(b), "_KEY:-")
	ports := regexp.MustCompile(`ports: \[(.*)\]`).FindAllSubmatch(b, -1)
	require.Len(t, ports, 3)
	for _, p := range ports {
		require.Regexp(t, `^"127\.0\.0\.1:\d+:\d+"$`, string(p[1]))
	}
}

func TestAllConfigurationFaultsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	code, _, stderr := command(
		t,
		"serve",
		"--http=nowhere",
		"--roles=ingest,teach",
		"--kafka-brokers=no-port",
		"--kafka-sasl-username=u",
		"--database-url=::",
		"--redis-url=http://x",
		"--jwt-secret=short",
		"--trace-ratio=2",
		"--grace=0s",
	)
	require.Equal(t, exitUsage, code)
	for _, fault := range []string{
		"http:", `"teach"`, `"no-port"`, "kafka-sasl-mechanism",
		"database URL", "redis URL", "secret has 5 bytes", "trace ratio 2", "grace",
	} {
		require.Contains(t, stderr, fault)
	}
	require.NotContains(t, stderr, "short", "secrets are not repeated")
}

func TestAllUnreadableVariablesAreReportedAtOnce(t *testing.T) {
	t.Setenv("SCHOOLBELL_GRACE", "soon")
	t.Setenv("SCHOOLBELL_KAFKA_PARTITIONS", "many")
	code, _, stderr := command(t, "serve")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "SCHOOLBELL_GRACE")
	require.Contains(t, stderr, "SCHOOLBELL_KAFKA_PARTITIONS")
}

func TestSecretsAreReadFromFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(testSecret+"\n"), 0o600))
	t.Setenv("SCHOOLBELL_JWT_SECRET_FILE", file)
	code, stdout, stderr := command(t, "config", "--json")
	require.Equal(t, exitDone, code, stderr)
	require.NotContains(t, stdout, testSecret)
	require.Regexp(t, `"variable": "SCHOOLBELL_JWT_SECRET",\s+"value": "xxxxx",\s+"from": "file"`, stdout)
	code, token, stderr := command(t, "token", "--school=north", "--sub=ada", "--role=admin",
		"--data="+t.TempDir())
	require.Equal(t, exitDone, code, stderr)
	v, err := auth.New(t.Context(), auth.Config{Secret: testSecret}, testLog(t))
	require.NoError(t, err)
	_, err = v.Verify(strings.TrimSpace(token))
	require.NoError(t, err)

	t.Setenv("SCHOOLBELL_JWT_SECRET", testSecret)
	_, _, stderr = command(t, "config")
	require.Contains(t, stderr, "SCHOOLBELL_JWT_SECRET_FILE are both set")
	t.Setenv("SCHOOLBELL_DATABASE_URL_FILE", filepath.Join(t.TempDir(), "none"))
	_, _, stderr = command(t, "config", "--jwt-secret="+testSecret)
	require.Contains(t, stderr, "SCHOOLBELL_DATABASE_URL_FILE: open")
}

func TestConfigPrintsTheSourceOfEachValue(t *testing.T) {
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
	require.Equal(
		t,
		config.Setting{
			Flag:     "--http",
			Variable: "SCHOOLBELL_HTTP",
			Value:    "127.0.0.1:1",
			From:     "flag",
		},
		got["--http"],
	)
	require.Equal(
		t,
		config.Setting{
			Flag:     "--ops",
			Variable: "SCHOOLBELL_OPS",
			Value:    "127.0.0.1:9090",
			From:     "default",
		},
		got["--ops"],
	)
	require.Equal(
		t,
		config.Setting{
			Flag:     "--database-url",
			Variable: "SCHOOLBELL_DATABASE_URL",
			Value:    "postgres://ada:xxxxx@db/school",
			From:     "variable",
		},
		got["--database-url"],
	)
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

func TestTheDevelopmentSecretIsGeneratedOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	made := make([]string, 8)
	var processes errgroup.Group
	for i := range made {
		processes.Go(func() error { // several roles that start on one disk
			c, err := config.JWT{}.Config(dir)
			made[i] = c.Secret
			return err
		})
	}
	require.NoError(t, processes.Wait())
	require.Len(t, slices.Compact(slices.Clone(made)), 1)
	require.NotEmpty(t, made[0])
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1, "no temporary file is left")
	info, err := files[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	code, token, stderr := command(
		t, "token", "--data", dir, "--school=s", "--sub=u", "--role=admin",
	)
	require.Equal(t, exitDone, code, stderr)
	require.Equal(t, 2, strings.Count(token, "."))
	again, err := config.JWT{}.Config(dir)
	require.NoError(t, err)
	require.Equal(t, made[0], again.Secret)
}

func TestATokenNeedsADataDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, mistyped := range []string{filepath.Join(dir, "data"), dir} {
		code, stdout, stderr := command(
			t, "token", "--data", mistyped, "--school=s", "--sub=u", "--role=admin",
		)
		require.Equal(t, exitFailed, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, mistyped+" is not the data directory")
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, files, "no secret was generated")

	lock, err := devstack.LockDir(dir) // a serve is starting
	require.NoError(t, err)
	defer lock.Release()
	code, _, stderr := command(
		t, "token", "--data", dir, "--school=s", "--sub=u", "--scope=events:write",
	)
	require.Equal(t, exitDone, code, stderr)
	code, _, stderr = command(
		t, "token", "--data=/nowhere", "--secret", testSecret, "--school=s", "--sub=u",
		"--role=admin",
	)
	require.Equal(t, exitDone, code, stderr)
}

func TestTotalsMentionRepetitionsOnlyIfThereAreAny(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(
		t, printTotals(&out, false, client.Totals{Events: 30, Requests: 3}, time.Second),
	)
	require.Equal(t, "30 events are in the log (3 requests, 30 events/s)\n", out.String())
	out.Reset()
	require.NoError(
		t,
		printTotals(&out, false,
			client.Totals{Events: 30, Requests: 3, Duplicates: 2, Conflicts: 1}, time.Second),
	)
	require.Equal(
		t,
		"30 events are in the log (3 requests, 30 events/s, 2 of them repeated)\n"+
			"1 event has the id of an event with other content, of which only the first counts: "+
			"give each event an id of its own\n",
		out.String(),
	)
}

func TestTextOfProducersCannotControlTheTerminal(t *testing.T) {
	t.Parallel()
	require.Equal(t, `s1\x1b[2J\n\t\a\u0085\u202e`, printable("s1\x1b[2J\n\t\a\u0085\u202e"))
	require.Equal(t, `Ödön "x" C:\y \xff`, printable("Ödön \"x\" C:\\y \xff"))
}

func TestTheCatalogHasThreeForms(t *testing.T) {
	t.Parallel()
	for format, sign := range map[string]string{"markdown": "schoolbell.fee.invoiced.v1", "json-schema": `"$schema"`, "asyncapi": `"asyncapi"`} {
		code, stdout, stderr := command(t, "catalog", "--format", format)
		require.Equal(t, exitDone, code, stderr)
		require.Contains(t, stdout, sign)
	}
}
