package telemetry

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRepeatedWarningsAreLimitedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		log := NewLogger(&out, LogConfig{Level: slog.LevelDebug})
		lines := func() int { return strings.Count(out.String(), "\n") }

		for partition := range 100 { // two loggers of one root share the limit
			log.With("partition", partition).Warn("read partition")
		}
		require.Equal(t, repeatBurst, lines())
		log.Error("read partition")
		log.Warn("write partition")
		require.Equal(t, repeatBurst+2, lines(), "another level or message is another series")
		for range 100 {
			log.Info("request")
		}
		require.Equal(t, repeatBurst+102, lines(), "below warn nothing is limited")

		<-time.After(repeatInterval)
		out.Reset()
		log.Error("stop")
		require.Equal(t, 2, lines())
		require.Contains(t, out.String(), `level=WARN msg="read partition" dropped=95 since=`)

		out.Reset()
		log.WithGroup("kafka").Warn("read partition", "error", "gone")
		require.Equal(t, 1, lines(), "a new interval begins with a new burst")
		require.Contains(t, out.String(), `kafka.error=gone`)
	})
}
