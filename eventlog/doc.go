// Package eventlog is the contract between Schoolbell and the log that holds its events, and the one
// reader through which the program follows it.
//
// The log is one topic with a fixed number of partitions. All records of a school are in one
// partition, found by [PartitionFor], so that they are totally ordered. Package internal/kafka
// implements the log on Kafka and package eventlog/memlog in memory; the suite in eventlog/logtest
// proves that both keep the contract.
//
// # Duplicates
//
// A producer that is not sure whether an event was accepted sends it again, and so does the log's own
// client. Whether a record repeats an earlier one is a function of the log alone ([Window]): nothing
// is stored for it, so nothing can disagree with the log, and every reader decides alike. The price is
// that a reader which starts somewhere has to read back one window. A duplicate with another content than
// the event whose id it has is dropped all the same, and is a conflict, which the projections report.
// Records that are no events make no duplicates; whether one is an event is only looked at when an
// id occurs again (decide.go), as decoding a whole window would take longer than reading it.
//
// # What log this is
//
// An offset says nothing about which log it belongs to. So readers store with their position the
// [Mark] of the last record that they have read, and [Compare] it when they go on: a log that was set
// back and has grown again has another record there. Nothing that is appended later makes that right,
// so it is a [*Refusal] and not a fault to retry.
//
// # How data runs
//
//	Source ─▶ tail: fetch, decide about duplicates ─▶ Cursor of the projections
//	          (tail.go, decide.go, window.go)      ─▶ Cursor of the consumers   ─▶ Entry.Event: decode once
//	                                               ─▶ Cursor of the live hub    (entry.go)
//
// A [Reader] holds one tail for each partition that someone in the process follows. The cursor that
// is furthest ahead fetches; those that follow closely get the very same entries, so that a record is
// fetched, decided about and decoded once, whatever roles the process has. A cursor that falls out of
// the tail's short memory fetches for itself and takes the verdicts from a bitmap, one bit a record;
// only one that is behind the bitmap needs a window of its own, until it has caught up. So a stalled
// role costs the others nothing, and memory is bounded: 18 bytes for each record of a window, and a
// few megabytes of records for each partition.
//
// # One school's events
//
// Who wants the events of one school finds them by an [Index], and fetches the records that it names
// ([Reader.ReadIndexed], [OfSchool]) without reading its neighbours'. What it names is no duplicate,
// so no window is needed. The projections make it, with their tables.
//
// To change what counts as the same event, begin at [Record.Identity]; to change how cursors share,
// at [Cursor.Next].
package eventlog
