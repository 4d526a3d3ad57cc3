package licenses

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every module of the binary is listed, at the version that is built.
func TestNoticesListTheModulesOfTheBinary(t *testing.T) {
	t.Parallel()
	const format = `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}`
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", format,
		"github.com/schoolbell/schoolbell/cmd/schoolbell").Output()
	require.NoError(t, err)
	modules := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(modules)
	list, _, _ := strings.Cut(Notices, "\n\n")
	require.Equal(t, strings.Join(slices.Compact(modules), "\n"), list, "run make licenses")
}
