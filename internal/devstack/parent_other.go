//go:build !linux

package devstack

import "syscall"

// endWithParent leaves the server to us: only Linux ends children with their parents.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
