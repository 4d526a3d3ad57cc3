package realkafka

import "syscall"

// endWithParent has the kernel end the broker when the test program ends, however it does.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
