// Package redis caches results of queries and knows which of them are current, carries messages
// between nodes, and holds what all nodes must agree on at once: tickets and revoked tokens. It is
// the only package that talks to Redis.
//
// # What is stored
//
// For each partition p of the log, under one hash tag, so that a cluster stores it on one node:
//
//	sb:<log>:{p}:head                        epoch, base, position, tables: how far the tables are, as far as Redis was notified
//	sb:<log>:{p}:v:<school>                  by projection: the offset of the event that changed it last
//	sb:<log>:{p}:e:<school>:<query>:<input>  a result, and the position and the tables of the snapshot it was made from
//
// And: sb:<log>:revoked, the tokens that are refused ([Revocations]); sb:<log>:ticket:<ticket>, for
// seconds, and sb:<log>:stream:<ticket>, until the token ends ([Tickets]); and the channels between nodes ([Bus]). The log's id is in all of them: results
// of another log have positions that mean nothing here, and may be of another installation.
//
// The projector moves heads and versions after each commit ([Notifier]). Versions and heads do not
// expire.
//
// # When a cached result is current
//
// A result is current when the head exists, the versions of all projections that it was made from
// exist, its position is not below any of them nor below base, and it was made from the present
// tables: a rebuild exchanges them without moving a position. It is then valid as of the head's
// position. So a slow writer cannot replace a newer result, and whatever is lost here (a
// key, a notice, everything) only causes more queries:
//
//   - a flushed head is created again by the next notice or heartbeat, with base at its position;
//   - a notice lost in a crash is made up for by the claim of the partition's next worker, which
//     raises epoch and base;
//   - a notice that failed is made up for by the next one, which raises base.
//
// # When Redis is down
//
// Every call has a short time limit, and after a few failures a circuit breaker stops calling for a
// while. Results then come from the database. Nothing here is the only copy of anything.
//
// To cache something new, start from [ReadThrough]; to change when a result is current, from
// scripts.go.
package redis
