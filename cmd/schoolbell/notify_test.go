package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// systemd starts what depends on Schoolbell when Schoolbell serves, and knows a stop from a crash.
func TestTheServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	manager, err := net.ListenUnixgram("unixgram", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = manager.Close() })
	require.NoError(t, manager.SetDeadline(time.Now().Add(2*time.Minute)))
	told := func() string {
		b := make([]byte, 100)
		n, err := manager.Read(b)
		require.NoError(t, err)
		return string(b[:n])
	}

	serve, a := startProcess(t, t.TempDir(), "NOTIFY_SOCKET="+address.Name)
	require.Equal(t, "READY=1", told())
	resp, _ := a.call(t, http.MethodGet, a.HTTP+"/openapi.json", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, serve.Process.Signal(os.Interrupt))
	require.Equal(t, "STOPPING=1", told())
}
