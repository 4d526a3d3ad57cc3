// Package licenses holds the licences of every module in the binary, as their terms require.
//
// Notices is written by ./generate, which `make licenses` runs: it lists the modules that
// cmd/schoolbell is built from, with the licence and notice files that they ship. A test fails when a
// dependency changes and the file was not generated again.
package licenses

import _ "embed"

// Notices lists the modules, then each licence text once with the modules that it applies to.
//
//go:embed notices.txt
var Notices string
