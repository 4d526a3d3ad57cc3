package devtest

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Tests come in three tiers. Without a word a test belongs to the first: it runs on a machine that
// has nothing but Go, as `make test` does. [Real] and [Long] put it into the others. Each is called
// at the start of the test function itself, where the Makefile finds the names of the tests to run.
const (
	realTier = "SCHOOLBELL_REAL"
	longTier = "SCHOOLBELL_LONG"
)

// realTests are the names of the top-level tests that called [Real].
var realTests sync.Map

// Real says that a test needs programs of others: a real Kafka, a browser, Node, and so on. The
// test is skipped, with the reason, unless SCHOOLBELL_REAL=1. There a missing program is a failure:
// a check that silently does not happen is worse than none.
func Real(t testing.TB, programs ...string) {
	t.Helper()
	realTests.Store(root(t), true)
	if os.Getenv(realTier) != "1" {
		t.Skipf("needs installed programs %v; run it with `make test-real`, or set %s=1",
			programs, realTier)
	}
	for _, name := range programs {
		Program(t, name)
	}
}

// Long says that a test takes minutes. It is skipped, with the reason, unless SCHOOLBELL_LONG=1.
func Long(t testing.TB) {
	t.Helper()
	if !isLong() {
		t.Skipf("takes minutes; run it with `make test-long`, or set %s=1", longTier)
	}
}

// Size returns how much a test does: the number in an environment variable; else one size for every
// day, and another for the long tier. It is logged, so that a run can be repeated.
func Size(t testing.TB, variable string, everyday, long int) int {
	t.Helper()
	n := everyday
	if isLong() {
		n = long
	}
	if v := os.Getenv(variable); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		require.NoError(t, err, variable)
	}
	t.Logf("%s=%d", variable, n)
	return n
}

// Program returns the path of an installed program. The test must have called [Real].
func Program(t testing.TB, name string) (path string) {
	t.Helper()
	RequireReal(t)
	path, err := exec.LookPath(name)
	require.NoError(t, err, "%s=1 needs every program that a test names", realTier)
	return path
}

// RequireReal fails a test that uses a program of others without having called [Real]: `make
// test-real` would not find it, and `make test` would fail on a machine without the program.
func RequireReal(t testing.TB) {
	t.Helper()
	_, declared := realTests.Load(root(t))
	require.True(t, declared, "%s must call devtest.Real at its start", root(t))
}

func isLong() bool { return os.Getenv(longTier) == "1" }

// root is the name of the top-level test.
func root(t testing.TB) string {
	name, _, _ := strings.Cut(t.Name(), "/")
	return name
}
