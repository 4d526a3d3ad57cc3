// Package cache is the contract of a cache for results of queries, and the way to read through one.
//
// A cached result carries the position of the log that it covers. [ReadThrough.Get] returns one
// from the [Store] when it covers the position that its caller needs, and otherwise loads it, once
// for all concurrent callers. A store decides when a result is outdated; package internal/redis has
// the one in use, and says how.
//
// To change what callers may ask of a result, start from [Lookup]; to add a store, implement
// [Store].
package cache

import (
	"context"
	"time"
)

// Store holds encoded results. It never fails: a store that is unavailable finds nothing and stores
// nothing.
type Store interface {
	// Get looks up a result that covers minOffset. Only with the outcome [Hit] there is one.
	Get(ctx context.Context, k Key, minOffset int64) (Entry, Outcome)
	// Put stores a result that was made from a snapshot, unless it is outdated already.
	Put(ctx context.Context, k Key, value []byte, of Snapshot, ttl time.Duration)
}

// Snapshot says what a result was made from.
type Snapshot struct {
	Offset int64 // of the last event in the tables
	Tables int64 // which tables: a rebuild exchanges them while the offset stays
}

// Key identifies a result.
type Key struct {
	Partition   int32 // of the school
	School      string
	Query       string
	Input       string   // whatever distinguishes results of the query, without colons
	Projections []string // that the result is made from
}

// Entry is a result in a store.
type Entry struct {
	Value  []byte
	Offset int64 // of the last event that it is sure to cover
}

// Outcome is where a result came from.
type Outcome string

// The outcomes of a lookup.
const (
	Hit    Outcome = "hit"
	Miss   Outcome = "miss"
	Bypass Outcome = "bypass" // the store was unavailable, or the lookup is private
)
