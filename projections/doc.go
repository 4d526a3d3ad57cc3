// Package projections folds the log of events into the tables that dashboards read. It holds the engine and what a read
// model is declared with; the read models themselves are the folders below it, and package catalog lists them.
//
// # Promises
//
//   - Every event changes every projection exactly once, through crashes, rebalances, owners that wake up late, and producers
//     that repeat themselves (P3). The rows of a batch, the position in the log and the parked events are one transaction
//     of the [Store], which refuses it when somebody else has claimed the partition since. Repeated events are recognised
//     from the log itself.
//   - All projections of a school show the same point of the log (P4): one transaction moves all of them, and an event that
//     one of them cannot fold is folded by none.
//   - The events of a school are folded in the order of the log (P2). A record that lies in a partition where its school's
//     events do not belong is parked.
//   - Bad events never stop the stream and are never lost (P9). One that cannot be decoded or folded, or whose rows the store
//     refuses, is parked together with the later events of its subject, and tried again in order: when the folds have
//     changed, when an operator asks for it, and now and then. What is wrong outside, such as a database that does not
//     answer, parks nothing; the engine waits and goes on.
//   - The tables are a function of the log (P8). Folds are pure: no clock, no randomness, no I/O, and whether the engine
//     folds event by event or in large batches, keeps all rows in memory or hardly any, is not to be seen in the tables. The
//     [Reference] folds in the plainest way and is what tests compare with.
//
// # How data runs through it
//
// The group gives this process partitions; for each there is an owner (owner.go) that works in sessions. A session claims
// the partition, makes sure that the log fits the tables, and then runs a pipeline until something goes wrong:
//
//	log ─▶ tape: fetch, decode, mark duplicates ─▶ fold: a Batch of rows ─▶ commit: Store ─▶ announcers: Notifiers
//	        tape.go                                 session.go, parking.go   session.go       notify.go
//
// While one batch is being committed, the next one is folded and the log is read ahead. The batch in the fold grows for as
// long as the commit before it takes, and is handed over as soon as there is nothing more to read: an idle system shows
// an event within milliseconds, a backlog makes batches of thousands.
//
// A [Batch] holds the rows that folds have used, by key, and what has changed. A fold that reads a row which is not there is
// undone and run again after the row has been looked up, with all the rows that the events behind it will want, in one
// round trip. Because only one owner writes a school's rows, they may stay in memory from batch to batch.
//
// When a commit fails it is often not known whether it took place. So the session ends, its rows are thrown away, and the
// next claim says where to go on; only the tape stays, as it is a copy of the log and can be wound back.
//
// # How tables are made anew
//
// A [Catchup] is an engine on partitions that are all its own, which goes only as far as it is told. A rebuild lets one
// fold the log into a schema beside the live tables (internal/postgres, Beside), follow these without passing them,
// and, with their owners fenced, stop exactly where they stand; then the tables are exchanged in one transaction. To verify
// is to do the same beside a snapshot and to compare. Neither tells anybody but the cache, which learns with the claim that
// answers of the same position are out of date.
//
// A store notes with which version of the folds its tables were made. A program with newer folds rebuilds before it folds,
// one with older folds leaves its partitions to others. The same event is in all tables of a set or parked for all of them,
// so a rebuild of some projections alone is one of all when other events than before can be folded.
//
// # Where to make the first change
//
// A new read model: declare its tables and folds with [New], [NewTable], [On] in a folder of its own, list it in
// projections/catalog, and create its tables in a migration. Nothing here needs to change. A fold that changes what it
// writes gets a higher version number.
//
// A new store: implement [Store] and run the suite in storetest on it. The model in memstore is the shortest example.
package projections
