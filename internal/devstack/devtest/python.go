package devtest

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// PythonPackages returns a folder for PYTHONPATH with the packages of a file of requirements, for
// scripts that a test runs on Python. They are fetched once, into the user's cache. The test must
// have called [Real].
func PythonPackages(t testing.TB, requirements string) (dir string) {
	t.Helper()
	python := Program(t, "python3")
	list, err := os.ReadFile(requirements)
	require.NoError(t, err)
	dir, err = fetched("python", list, func(ctx context.Context, dir string) (*exec.Cmd, error) {
		return exec.CommandContext(ctx, python, "-m", "pip", "install", "--quiet", "--no-deps",
			"--disable-pip-version-check", "--target", dir, "-r", requirements), nil
	})
	require.NoError(t, err)
	return dir
}
