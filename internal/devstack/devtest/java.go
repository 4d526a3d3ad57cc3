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

// JavaPackages returns a folder with the jars of a Maven project and of what they need, for programs that
// a test runs on Java. They are fetched once, into the user's cache. The test must have called [Real].
func JavaPackages(t testing.TB, pom string) (dir string) {
	t.Helper()
	dir, err := installJars(Program(t, "mvn"), pom)
	require.NoError(t, err)
	return dir
}

func installJars(mvn, pom string) (dir string, err error) {
	project, err := os.ReadFile(pom)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(project)
	dir = filepath.Join(cache, "schoolbell", "java-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	// Another process may be doing the same: whoever is first moves a whole folder into place.
	partial, err := os.MkdirTemp(filepath.Dir(dir), "java-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(partial)) }()
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	jars := filepath.Join(partial, "jars")
	out, err := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", pom, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+jars).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("fetch packages: %w\n%s", err, out)
	}
	if err := os.Rename(jars, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}
