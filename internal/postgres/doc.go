// Package postgres speaks to PostgreSQL: connection pools with limits, the migrations, and the
// store of the projection engine with its rebuild and verification (see package projections, which
// owns the interface).
//
// # What it promises
//
//   - A commit of the engine is one transaction with the fence first: it changes everything or
//     nothing, and nothing when another process has claimed the partition (P3).
//   - [Pool.Read] shows one school, on one snapshot at one position of the log (P4, P10). Row-level
//     security is the second line behind the queries' own WHERE clauses.
//   - A rebuild that fails or is interrupted leaves the live tables as they were (P8).
//
// # How data runs through it
//
// Programs connect as the role that owns the schema and then switch to another: the projector
// writes all read models, the API reads one school in each transaction, jobs write deliveries.
// Everything is in the schema schoolbell, which the pools put first on the search path; rebuilds
// use schemas of their own, so that the same statements work there.
//
// The engine's rows go to the server as arrays in binary format, a column of a batch at a time
// (arrays.go, statements.go), in one pipeline (projections.go) with what is parked (parking.go). A
// [Shadow] folds the log into tables next to the live ones (shadow.go), to exchange them
// (rebuild.go, dependents.go) or to compare them (verify.go). Positions belong to package
// checkpoint.
//
// # Where to make the first change
//
// How rows are written: newTableStatements. What a rebuild does with things that depend on a table:
// dependents.go. A new role or limit of connections: pool.go and migrations/0001_roles.sql.
package postgres
