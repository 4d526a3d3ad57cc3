// Package swarm is thousands of live clients in one process, for fault tests. Each does what the
// official library of its protocol does: it keeps its place, comes back when the connection is
// lost, and goes on where it was. What it has heard, in which order, and how its connections ended
// is there to be compared with the log.
package swarm
