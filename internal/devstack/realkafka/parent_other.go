//go:build !linux

package realkafka

import "syscall"

// endWithParent does nothing here: only Linux ends children with their parents.
func endWithParent() *syscall.SysProcAttr { return nil }
