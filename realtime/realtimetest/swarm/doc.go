// Package swarm runs thousands of live clients in one process, for fault tests and benches. Each
// behaves like the official library of its protocol: it remembers its offset, reconnects when the
// connection is lost, and continues where it was. What it has received, in which order, and how its
// connections ended can be compared with the log. client.go has what the protocols share; a new
// protocol is a file next to stream.go.
package swarm
