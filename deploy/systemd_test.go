package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// systemd takes the unit as it is, warns of nothing, and finds that it exposes little.
func TestSystemdTakesTheUnit(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "systemd-analyze")
	text, err := os.ReadFile("systemd/schoolbell.service")
	require.NoError(t, err)
	self, err := os.Executable() // any program in the place of ours
	require.NoError(t, err)
	unit := filepath.Join(t.TempDir(), "schoolbell.service")
	there := strings.ReplaceAll(string(text), "/usr/local/bin/schoolbell", self)
	require.NotEqual(t, string(text), there)
	require.NoError(t, os.WriteFile(unit, []byte(there), 0o600))

	analyze := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), devtest.Program(t, "systemd-analyze"), append(args, unit)...).
			CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.Empty(t, analyze("verify", "--recursive-errors=no"))
	analyze("security", "--offline=yes", "--threshold=15") // tenths, of 100
}
