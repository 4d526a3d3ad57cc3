package devtest

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// Size returns how much a test does: the number in an environment variable, else what is enough for every day. It is
// logged, so that a run can be repeated.
func Size(t testing.TB, variable string, byDefault int) int {
	t.Helper()
	n := byDefault
	if v := os.Getenv(variable); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		require.NoError(t, err, variable)
	}
	t.Logf("%s=%d", variable, n)
	return n
}
