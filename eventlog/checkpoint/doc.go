// Package checkpoint says how far each consumer of the log has come: a set of projections, or a
// group that plans deliveries. It owns the table checkpoints (migrations/0002_checkpoints.sql), one
// row for each consumer and partition, and every statement on it.
//
// # What it promises
//
// Only the latest claim moves a position. [Take] raises the epoch of a partition; whoever claimed it
// before is fenced, which means that [AdvanceSQL] and [Groups.Save] fail for the old epoch and change
// nothing. Positions are written in the transaction of the results they stand for, never before or
// after it, so that results and position are lost together or not at all.
//
// A row also holds the id of the topic it was read from: offsets of another topic mean nothing here,
// so a claim for another one is a [*TopicError]. And it holds a digest of the last record that was
// read: a log that does not have this record is not the one that was read, and its partition is
// refused to everybody until an operator decides ([eventlog.Refusal], [Accept]).
//
// # How data runs through it
//
// The projection engine (internal/postgres) claims with [Take] and puts [AdvanceSQL] first into the
// pipeline of each commit. The ledger's consumers use [Groups], which commit after their results, as
// these are idempotent. A rebuild takes all partitions with [Fence]. Readers learn where the tables
// are from [Read], [Next] and [Position], on their own snapshot, and wait with [Positions].
//
// The statements name the table without its schema, because a rebuild has checkpoints of its own in
// another schema; connections have the schema on their search path.
//
// # Where to make the first change
//
// The statements and the fence are in checkpoint.go, the waiting is in positions.go. What compares the
// log is in refusal.go, what lets a whole process know of it in guard.go, and what an operator
// decides in accept.go.
package checkpoint
