package ledger

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRiverSaysTheSameOnceInAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		lines := func() []string {
			defer out.Reset()
			return strings.Split(strings.TrimSpace(out.String()), "\n")
		}
		river := quietly(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))
		river.Info("started")
		for range 50 {
			river.Error("cannot fetch", "queue", "sms")
			river.With("queue", "pdf").Error("cannot fetch")
		}
		river.Warn("something else")
		require.Equal(t, []string{`level=ERROR msg="cannot fetch" queue=sms`, `level=WARN msg="something else"`}, lines())
		time.Sleep(sayAgain) //nolint:forbidigo // in a bubble, this is the clock
		river.Error("cannot fetch", "queue", "sms")
		require.Equal(t, []string{`level=ERROR msg="cannot fetch" queue=sms repeated=99`}, lines())
	})
}
