package devtest

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// JavaPackages returns a folder with the jars of a Maven project and of what they need, for programs that
// a test runs on Java. They are fetched once, into the user's cache. The test must have called [Real].
func JavaPackages(t testing.TB, pom string) (dir string) {
	t.Helper()
	mvn := Program(t, "mvn")
	project, err := os.ReadFile(pom)
	require.NoError(t, err)
	dir, err = fetched("java", project, func(ctx context.Context, dir string) (*exec.Cmd, error) {
		return exec.CommandContext(ctx, mvn, "-q", "-B", "-f", pom, "dependency:copy-dependencies",
			"-DincludeScope=runtime", "-DoutputDirectory="+dir), nil
	})
	require.NoError(t, err)
	return dir
}
