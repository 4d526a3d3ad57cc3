// Package projections folds the log of events into the tables that dashboards read. It holds the
// engine and the means to declare a read model; the read models themselves are the folders below
// it, and package catalog lists them.
//
// # Promises
//
//   - Every event changes every projection exactly once, through crashes, rebalances, workers that
//     wake up late, and producers that repeat themselves (P3). The rows of a batch, the position in
//     the log and the parked events are one transaction of the [Store], which refuses it when
//     another process has claimed the partition since. Repeated events are recognised from the log
//     itself.
//   - All projections of a school show the same point of the log (P4): one transaction moves all of
//     them, and an event that one of them cannot fold is folded by none.
//   - The events of a school are folded in the order of the log (P2). A record in a partition where
//     its school's events do not belong is parked.
//   - Bad events never stop the stream and are never lost (P9). One that cannot be decoded or
//     folded, or whose rows the store refuses, is parked together with the later events of its
//     subject, and retried in order: when the folds have changed, when an operator requests it, and
//     at growing intervals. A failure outside, such as an unreachable database, parks nothing; the
//     engine waits and continues.
//   - No school delays another one (P11). When too many of its subjects are parked, its later events
//     are parked whole, in order; the partition goes on.
//   - The tables are a function of the log (P8). Folds are pure: no clock, no randomness, no I/O.
//     Whether the engine folds event by event or in large batches, holds all rows in memory or
//     hardly any, cannot be seen in the tables. The [Reference] folds in the plainest way and is
//     what tests compare with.
//
// # How data runs through it
//
// The group assigns partitions to this process. For each there is a worker (worker.go), which works
// in leases. A lease claims the partition, makes sure that the log fits the tables, and then runs a
// pipeline until something fails:
//
//	log ─▶ read-ahead: fetch, decode, mark duplicates ─▶ fold: a Batch of rows ─▶ commit: Store ─▶ Notifiers
//	       readahead.go                                  lease.go, parking.go     lease.go         notifier.go
//
// While one batch is being committed, the next one is folded and the log is read ahead. The batch
// in the fold grows for as long as the commit before it takes, and is handed over as soon as there
// is nothing more to read: an idle system shows an event within milliseconds, a backlog makes
// batches of thousands.
//
// A [Batch] holds the rows that folds have used, by key, and what has changed. A fold that reads a
// row which is not in memory is undone and run again after the row has been looked up, together
// with all rows that the events behind it will need, in one round trip. Because only one worker
// writes a school's rows, they may stay in memory from batch to batch.
//
// When a commit fails its outcome is often unknown. So the lease ends, its rows are discarded, and
// the next claim tells where to continue; only the read-ahead survives, as it is a copy of the log
// and can be rewound.
//
// # How tables are rebuilt
//
// A [Catchup] is an engine on partitions of its own, which folds only up to given offsets. A
// rebuild lets one fold the log into a schema next to the live tables (internal/postgres, Shadow),
// follow these without passing them, and, with their workers fenced, stop exactly where they stand;
// then the tables are exchanged in one transaction. A verification does the same next to a
// snapshot, and compares. Neither notifies anything but the cache, which learns with the claim that
// results of the same position are out of date.
//
// Each commit also carries where in the log its events are (blocks.go): the index of the log, by
// which readers of one school find its events. It is made of all events that count, whatever became
// of them, and rebuilt and verified with the tables.
//
// A store records with which version of the folds its tables were made. A program with newer folds
// rebuilds before it folds, one with older folds leaves its partitions to others. The same event is
// in all tables of a set or parked for all of them, so a rebuild of some projections becomes one of
// all when other events than before can be folded.
//
// # Where to make the first change
//
// A new read model: declare its tables and folds with [New], [NewTable], [On] in a folder of its
// own, list it in projections/catalog, and create its tables in a migration. Nothing here needs to
// change. A fold that changes what it writes gets a higher version number.
//
// A new store: implement [Store] and run the suite in storetest on it. The model in memstore is the
// shortest example.
package projections
