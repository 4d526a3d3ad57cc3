package program

import (
	"log/slog"
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
