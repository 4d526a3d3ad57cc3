package devtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// NodePackages returns a folder whose node_modules are those of the package-lock.json among files,
// for scripts that a test runs on Node. They are fetched once, into the user's cache. The test must
// have called [Real].
func NodePackages(t testing.TB, files fs.FS) (dir string) {
	t.Helper()
	Program(t, "node")
	dir, err := installPackages(Program(t, "npm"), files)
	require.NoError(t, err)
	return dir
}

// fetchTime bounds how long packages are fetched.
const fetchTime = 3 * time.Minute

func installPackages(npm string, files fs.FS) (dir string, err error) {
	lock, err := fs.ReadFile(files, "package-lock.json")
	if err != nil {
		return "", err
	}
	manifest, err := fs.ReadFile(files, "package.json")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	dir = filepath.Join(cache, "schoolbell", "js-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	// Another process may be doing the same: whoever is first moves a whole folder into place.
	partial, err := os.MkdirTemp(filepath.Dir(dir), "js-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(partial)) }()
	for name, content := range map[string][]byte{"package.json": manifest, "package-lock.json": lock} {
		if err := os.WriteFile(filepath.Join(partial, name), content, 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = partial
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch packages: %w\n%s", err, out)
	}
	if err := os.Rename(partial, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}
