package devstack

import "syscall"

// endWithParent has the kernel end a server when this process ends, however it does.
func endWithParent() *syscall.SysProcAttr {
	// an interrupt from the terminal is for us alone
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
