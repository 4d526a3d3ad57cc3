package devstack

import "syscall"

// endWithParent has the kernel end a server when this process ends, however it does.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // an interrupt from the terminal is for us alone
}
