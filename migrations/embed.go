// Package migrations holds the database schema as numbered SQL files, one for each step, applied in order by goose.
// Files that have been released are never changed; a change is a new file.
//
// Everything lives in the schema schoolbell. A migration that creates a table with a school calls
// schoolbell.protect(table) for it: that turns on row-level security and grants the two roles their rights.
package migrations

import "embed"

// FS holds the files.
//
//go:embed *.sql
var FS embed.FS
