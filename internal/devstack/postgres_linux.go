package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// account is the user that PostgreSQL runs as; nil means the current one.
type account struct{ uid, gid uint32 }

// serverAccount chooses the account. PostgreSQL refuses to run as root.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("read account %s: %w", name, err)
		}
		return &account{uint32(uid), uint32(gid)}, nil
	}
	return nil, errors.New(
		"PostgreSQL does not run as root and there is no account postgres or nobody: start " +
			"Schoolbell as another user, or set SCHOOLBELL_DATABASE_URL",
	)
}

func (a *account) chown(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// confine makes a command work on a data directory under the account. The directory may lie where
// that account cannot go, such as below /root; so the child is given the open directory, and the
// password file if one is named, and reaches them through /proc/self/fd instead of by their paths.
// The function that it returns closes our side of them.
func (a *account) confine(cmd *exec.Cmd, data, passwordFile string) (closeFiles func(), err error) {
	// an interrupt from the terminal is for us alone
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a == nil {
		cmd.Args = append(cmd.Args, dataArgs(data, passwordFile)...)
		return func() {}, nil
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	cmd.Dir = "/"
	var given []string
	for _, path := range []string{data, passwordFile} {
		if path == "" {
			given = append(given, "")
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open for PostgreSQL: %w", err)
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		given = append(given, fmt.Sprintf("/proc/self/fd/%d", 2+len(cmd.ExtraFiles)))
	}
	cmd.Args = append(cmd.Args, dataArgs(given[0], given[1])...)
	return func() {
		for _, f := range cmd.ExtraFiles {
			f.Close()
		}
	}, nil
}

// supervise starts the server and waits for its end. The kernel ends it (fast shutdown) when the
// thread that started it is gone, so that thread is locked for as long as the server lives.
func (p *Postgres) supervise(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	p.endErr = cmd.Wait()
	close(p.ended)
}

// isPostmaster reports whether a process is a PostgreSQL server that works in this directory.
func isPostmaster(pid int, data string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	name, err := os.ReadFile(filepath.Join(proc, "comm"))
	if err != nil || !strings.HasPrefix(string(name), "postgres") {
		return false
	}
	cwd, err := os.Stat(filepath.Join(proc, "cwd"))
	if err != nil {
		return false
	}
	dir, err := os.Stat(data)
	return err == nil && os.SameFile(cwd, dir)
}
