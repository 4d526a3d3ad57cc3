// Package archtest holds the tests of the project's own rules, over its source text:
//
//   - which package may import which (arch_test.go, a table of layers), and which of ours alone may
//     import an outside system's client;
//   - that SQL on a table stands only in the package that owns it (sql_test.go);
//   - that every event has a golden, every projection a line in its catalog, and every promise a
//     test in docs/RELIABILITY.md;
//   - that no file grows beyond reading.
//
// Rules that no longer apply to anything, and exceptions that are no longer needed, fail as well.
// There is no code here that the program uses; figures prints the proportions of the tree.
package archtest
