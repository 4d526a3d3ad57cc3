package devtest

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// NodePackages returns a folder whose node_modules are those of the package-lock.json among files,
// for scripts that a test runs on Node. They are fetched once, into the user's cache. The test must
// have called [Real].
func NodePackages(t testing.TB, files fs.FS) (dir string) {
	t.Helper()
	Program(t, "node")
	npm := Program(t, "npm")
	lock, err := fs.ReadFile(files, "package-lock.json")
	require.NoError(t, err)
	manifest, err := fs.ReadFile(files, "package.json")
	require.NoError(t, err)
	dir, err = fetched("js", lock, func(ctx context.Context, dir string) (*exec.Cmd, error) {
		for name, content := range map[string][]byte{
			"package.json": manifest, "package-lock.json": lock,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				return nil, err
			}
		}
		cmd := exec.CommandContext(ctx, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
		cmd.Dir = dir
		return cmd, nil
	})
	require.NoError(t, err)
	return dir
}
