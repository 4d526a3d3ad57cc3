// Package audit records who read what of a school's people. A [Trail] counts in memory, a record for
// each reader, thing, channel and hour, and writes what has changed to PostgreSQL twice a second, so
// that a read waits for nothing; a process that dies loses what it read in its last second.
//
// Without PostgreSQL it goes on counting, up to [MaxWaiting] records. What is lost beyond them is a
// record too, of the thing "audit: gap", in the audit of the school that it is missing from. The
// first change: what a record is of is in [Read].
package audit
