//go:build !unix

package program

// maxFiles is not known on this system.
func maxFiles() int { return 0 }
