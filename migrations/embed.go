// Package migrations holds the database schema as SQL files, which goose applies in order.
//
// There is one file for each package that owns tables, and its first line names it:
//
//	-- owner: projections/fees
//
// Only that package has SQL on the tables of the file; internal/archtest finds the others. A view that
// the owner creates in its file WITH (security_invoker = true) may be read by anybody: its columns are
// the contract between the packages.
//
// Everything is in the schema schoolbell. A table with a school is closed by schoolbell.protect (for
// read models) or schoolbell.protect_for_jobs (for what belongs to deliveries): they turn on row-level
// security and grant the roles their rights.
//
// Released files never change: from v0.1.0 on, a change is a new file with the next number, which
// begins with the owner's line as well. There is no way down; an older program refuses a newer schema.
//
// To add a read model's tables, copy 0014_at_risk.sql under the next number.
package migrations

import "embed"

// FS holds the files.
//
//go:embed *.sql
var FS embed.FS
