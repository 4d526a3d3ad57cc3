package program

import (
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestTheRestOfAStopIsBoundedByTheGrace(t *testing.T) {
	t.Parallel()
	p := &program{cfg: &config.Config{Grace: time.Minute}}
	require.Equal(t, time.Minute, p.graceLeft(), "a start that failed has all of it")
	p.stopBy = time.Now().Add(-time.Second)
	require.Zero(t, p.graceLeft())
}

func TestAProcessKeepsFilesForItself(t *testing.T) {
	t.Parallel()
	require.Equal(t, 60_000, affordable(60_000, 0), "the limit is not known")
	require.Equal(t, 60_000, affordable(60_000, 1<<20))
	require.Equal(t, 1024-reservedFiles, affordable(60_000, 1024))
	require.Equal(t, 1, affordable(60_000, 100))
	require.Positive(t, maxFiles())
}

func TestANodeWithAnEmbeddedRedisIsWarned(t *testing.T) {
	t.Parallel()
	broker := devtest.Kafka(t)
	var log strings.Builder
	start := func(redis string) string {
		log.Reset()
		s, err := StartServers(t.Context(), &config.Config{
			Data: t.TempDir(), Kafka: config.Kafka{Brokers: broker.Brokers()}, Database: config.Database{URL: "postgres://elsewhere"},
			Redis: config.Redis{URL: redis},
		}, slog.New(slog.NewTextHandler(&log, nil)))
		require.NoError(t, err)
		require.NoError(t, s.Stop())
		return log.String()
	}
	require.Contains(t, start(""), "SCHOOLBELL_REDIS_URL")
	require.Empty(t, start("redis://elsewhere"))
}

// The image is built without the embedded servers: they take a part of the binary and nothing there
// needs them.
func TestTheProgramBuildsWithoutEmbeddedServers(t *testing.T) {
	t.Parallel()
	const program = "github.com/schoolbell/schoolbell/cmd/schoolbell"
	out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "noembed",
		program+"/internal/program", "github.com/schoolbell/schoolbell/internal/devstack").CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.CommandContext(t.Context(), "go", "list", "-tags", "noembed", "-deps", program).Output()
	require.NoError(t, err)
	for _, server := range []string{"pkg/kfake", "miniredis", "embedded-postgres"} {
		require.NotContains(t, string(out), server)
	}
}

func TestTheChangelogBeginsWithTheVersion(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../../CHANGELOG.md")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(strings.Replace(string(text), "\n## Unreleased\n", "", 1), "\n## ")
	first, _, _ := strings.Cut(rest, "\n")
	require.Equal(t, Version, first)
}
