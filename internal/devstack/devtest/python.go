package devtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// PythonPackages returns a folder for PYTHONPATH with the packages of a file of requirements, for
// scripts that a test runs on Python. They are fetched once, into the user's cache. The test must
// have called [Real].
func PythonPackages(t testing.TB, requirements string) (dir string) {
	t.Helper()
	dir, err := installRequirements(Program(t, "python3"), requirements)
	require.NoError(t, err)
	return dir
}

func installRequirements(python, requirements string) (dir string, err error) {
	list, err := os.ReadFile(requirements)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(list)
	dir = filepath.Join(cache, "schoolbell", "python-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	// Another process may be doing the same: whoever is first moves a whole folder into place.
	partial, err := os.MkdirTemp(filepath.Dir(dir), "python-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(partial)) }()
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "-m", "pip", "install", "--quiet", "--no-deps",
		"--disable-pip-version-check", "--target", partial, "-r", requirements).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("fetch packages: %w\n%s", err, out)
	}
	if err := os.Rename(partial, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}
