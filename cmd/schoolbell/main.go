// Command schoolbell stores the events of schools in a log, and serves queries, messages and live
// updates from it.
//
// This package is the command line: a file for each subject, with its commands as structs that kong
// fills and runs. Commands reach a running process over HTTP (connect.go), or the servers directly
// where the API has no equal. The process that `schoolbell serve` starts is in internal/program, and
// its settings are in internal/config. To add a command, add a struct with a Run method and a line in
// cli.go; testdata/help.txt follows with `make golden`.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
