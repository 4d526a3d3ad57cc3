package devstack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Lock is the right to run servers on a data directory. It ends with the process, however that
// ends.
type Lock struct {
	file *os.File
}

// ErrLocked says that another process runs servers on the directory.
var ErrLocked = errors.New("data directory is in use")

// LockFile is what marks a directory as one that servers have run on.
const LockFile = "lock"

// LockDir takes the lock of a data directory.
func LockDir(dir string) (*Lock, error) {
	path := filepath.Join(dir, LockFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of data directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(path) // only for the message
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s belongs to process %s", ErrLocked, dir,
				strings.TrimSpace(string(owner)))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := errors.Join(file.Truncate(0), write(file, fmt.Sprintln(os.Getpid()))); err != nil {
		file.Close()
		return nil, fmt.Errorf("write lock of data directory: %w", err)
	}
	return &Lock{file}, nil
}

func write(file *os.File, s string) error {
	_, err := file.WriteAt([]byte(s), 0)
	return err
}

// Release gives the directory to others. The file stays, since removing it would let two processes
// lock two files of the same name.
func (l *Lock) Release() { l.file.Close() }
