// Package postgres speaks to PostgreSQL: connection pools with limits, the migrations, and the store of the projection
// engine (see package projections, which owns the interface).
//
// Everything is in the schema schoolbell, which the pools put first on the search path. Programs connect as the one who
// owns the schema and then take on a role: the projector writes all read models, the API reads one school in each
// transaction. [Pool.Read] is the way for queries.
package postgres
