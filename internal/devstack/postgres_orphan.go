package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endOrphan ends a server that a killed process of ours left running on this data. The caller holds
// the lock of the data directory, so a server found here belongs to no other process. A lock file
// without such a server is removed: after a restart of the machine or of a container its process
// number may belong to anyone, and PostgreSQL would not start.
func endOrphan(ctx context.Context, data string) error {
	file := filepath.Join(data, "postmaster.pid")
	pid, err := readPID(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read lock of PostgreSQL: %w", err)
	}
	if pid <= 1 || !isPostmaster(pid, data) {
		return os.Remove(file)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("find PostgreSQL %d: %w", pid, err)
	}
	patience := time.NewTimer(PostgresStop)
	defer patience.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	_ = process.Signal(syscall.SIGINT)
	for isPostmaster(pid, data) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of PostgreSQL %d: %w", pid, ctx.Err())
		case <-patience.C:
			_ = process.Signal(syscall.SIGQUIT)
		case <-tick.C:
		}
	}
	return nil
}

// readPID returns the process number in a lock file, 0 when it holds none.
func readPID(file string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return 0, nil //nolint:nilerr // a torn lock file is one without an owner
	}
	return pid, nil
}
