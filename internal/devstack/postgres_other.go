//go:build !linux

package devstack

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// account is the user that PostgreSQL runs as: always the current one, on systems where development
// as root is unusual.
type account struct{}

func serverAccount() (*account, error) {
	if os.Geteuid() == 0 {
		return nil, errors.New(
			"PostgreSQL does not run as root: start Schoolbell as another user, or set SCHOOLBELL_DATABASE_URL",
		)
	}
	return nil, nil
}

func (*account) own(string) error { return nil }

func (*account) confine(cmd *exec.Cmd, data, passwordFile string) (closeFiles func(), err error) {
	// an interrupt from the terminal is for us alone
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Args = append(cmd.Args, dataArgs(data, passwordFile)...)
	return func() {}, nil
}

func (p *Postgres) supervise(cmd *exec.Cmd, started chan<- error) {
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	p.endErr = cmd.Wait()
	close(p.ended)
}

// isPostmaster reports whether a process is a PostgreSQL server on this directory.
func isPostmaster(pid int, data string) bool {
	out, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "postgres") &&
		strings.Contains(string(out), data)
}
