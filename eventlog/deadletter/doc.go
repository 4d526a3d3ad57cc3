// Package deadletter stores single records that cannot be used: refused at an inbox, skipped in the
// log, or impossible to plan for. It owns their tables (migrations/0040_deadletters.sql and 0054) and every
// statement on them.
//
// # What it promises
//
// [Write] is part of the transaction that moves the reader's position past the record, so a record
// is passed over and reported, or neither. Writing a letter again replaces it: a reader that repeats
// a batch after a crash makes no second one. Letters live for [Lifetime]. On a day a school has at
// most [DailyLimit], and a partition of a topic at most [PlaceLimit], because a record can name any
// school; beyond that they are counted only: whoever can fill a topic must not be able to fill the
// database. Unusable records of the log do not count for the school that they name.
//
// # How data runs through it
//
// [Of] makes a letter of a record and the error that refused it; the record itself is stored with
// it unless it is large. The inbox reader (package ingest), the reader of partitions and the ledger
// write; the API lists and retries. What a retry does depends on the kind, and is not decided here:
// whoever has used the record at last calls [Remove].
//
// # Where to make the first change
//
// The letter and its encoding are in letter.go, the statements in store.go.
package deadletter
