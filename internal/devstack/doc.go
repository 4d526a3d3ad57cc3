// Package devstack runs the servers that Schoolbell needs, so that one program is all there is to
// start: PostgreSQL as a child process, a Kafka broker and a Redis inside this one. `schoolbell
// serve` uses it for whatever it has no address for, and the tests use it through package devtest,
// so that both run on the same servers.
//
// What it promises: data in the directory given to it survives a clean stop and a kill -9 alike; a
// server left behind by a killed process is found and ended before the next one starts; no server
// outlives the process that started it (on Linux the kernel sees to that); PostgreSQL never runs as
// root; with passwords, the ports of the loopback interface are of no use to other users of the
// machine.
//
// These servers are for development, tests and single machines. For anything more, name real ones.
package devstack
