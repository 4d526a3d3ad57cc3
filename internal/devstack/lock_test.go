package devstack

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestADataDirectoryHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := LockDir(dir)
	require.NoError(t, err)
	_, err = LockDir(dir)
	require.ErrorIs(t, err, ErrLocked)
	first.Release()
	second, err := LockDir(dir)
	require.NoError(t, err)
	second.Release()
}
