// Package archtest holds the tests of the project's own rules: which package may import which, that
// every event has a golden and every projection a line in its catalog, and that no file grows
// beyond reading. There is no code in it.
package archtest
