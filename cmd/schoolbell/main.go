// Command schoolbell takes the events of schools, keeps them in a log, and answers questions
// about them. See `schoolbell --help`.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
