//go:build unix

package program

import (
	"math"
	"syscall"
)

// maxFiles is how many files this process may have open, connections included; 0 when it is not
// known. Go has raised the limit as far as it may at the start.
func maxFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, math.MaxInt32))
}
