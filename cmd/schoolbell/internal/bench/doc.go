// Package bench measures a deployment against what it could do at best and against the naive way,
// in one run, because the machines it runs on are rarely quiet: the ratios hold when the figures do
// not.
//
// Each benchmark is a struct with its settings and a Run method that returns a [Result]. Rounds of
// the two sides of a ratio alternate, and what is reported is the median of each side.
//
// The first change: another benchmark is a struct here and a command in cmd/schoolbell, in the group
// bench; its figures go into docs/PERFORMANCE.md with the command that made them.
package bench
