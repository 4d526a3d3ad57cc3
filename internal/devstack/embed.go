//go:build !noembed

package devstack

// Embedded reports whether this build contains the servers. The build tag noembed leaves them out.
const Embedded = true
