package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/eventlog"
)

// Store keeps what a set has folded: the rows of its tables, how far each partition of the log has got, and the parked
// events. All three change together or not at all, and only for the owner of the latest claim. The suite in
// projections/storetest says what that means in full.
type Store interface {
	// Claim takes a partition over: it ends all earlier claims to it and returns where to go on. The first claim
	// to a partition notes the topic's id; a later one under another id changes nothing and is a [*TopicError]. A store
	// that outlives programs also notes with which versions of the folds its tables were made, and refuses others with
	// a [*VersionError].
	Claim(ctx context.Context, partition int32, topicID string) (Claim, error)
	// Lookup gives each of the wanted rows that exist to its Lookup.
	Lookup(ctx context.Context, wanted []Lookup) error
	// Commit moves a partition from one position to another with all that the events in between have changed.
	// When the claim is no longer the latest, or the partition is not at c.From, nothing changes and the error is
	// [ErrFenced], or [ErrRebuilt] where a rebuild alone is the reason. After any other error but [ErrRejected] it is not known whether the commit took place.
	Commit(ctx context.Context, claim Claim, c *Commit) error
	ParkedStore
}

// ParkedStore is the part of a store that knows which events are kept aside.
type ParkedStore interface {
	// Parked returns all parked subjects of a partition.
	Parked(ctx context.Context, partition int32) ([]ParkedSubject, error)
	// ParkedEvents returns the oldest events of a parked subject, at most limit.
	ParkedEvents(ctx context.Context, partition int32, key SubjectKey, limit int) ([]eventlog.Record, error)
}

// Claim is the right to move one partition, until the next claim.
type Claim struct {
	Partition int32
	Epoch     int64 // grows with every claim
	Next      int64 // the offset of the next record to fold
	Base      int64 // what was read at an earlier offset than this is out of date, as a rebuild has changed rows
}

// Commit is what a batch of events has changed.
type Commit struct {
	From, To int64 // the partition's position before and after; equal when only parked events were folded
	Rows     []RowSet
	Parking  Parking
}

// ErrFenced says that somebody else has claimed the partition since.
var ErrFenced = errors.New("partition has been claimed by another owner")

// ErrRebuilt says that a rebuild has put other rows in place. Nobody else has claimed the partition, so its owner may do
// so again at once.
var ErrRebuilt = errors.New("tables have been rebuilt")

// ErrRejected says that the store refuses the rows themselves, so that it would refuse them again. Nothing has changed.
var ErrRejected = errors.New("store refuses the rows")

// TopicError says that the log is not the one that the tables were folded from.
type TopicError struct {
	Partition int32
	Stored    string // the topic's id that the store holds
	Current   string // the topic's id now
}

func (e *TopicError) Error() string {
	return fmt.Sprintf("partition %d was folded from the topic with id %s, and the topic now has id %s: it was deleted and "+
		"created again, or this is another cluster. Point Schoolbell at the old log, or build all tables anew from this "+
		"one into an empty database", e.Partition, e.Stored, e.Current)
}

// VersionError says that a projection's tables were made by other folds than those of this program.
type VersionError struct {
	Projection string
	Tables     int // the version that its tables were made with; 0 when nothing has been folded into them
	Folds      int // the version of this program's folds; 0 when it does not know the projection
}

func (e *VersionError) Error() string {
	switch {
	case e.Folds == 0:
		return fmt.Sprintf("the tables hold projection %s, which this program does not know: a newer version has made them. Start that one", e.Projection)
	case e.Folds < e.Tables:
		return fmt.Sprintf("the tables of %s were made by version %d of its folds, and this program has version %d: it is the "+
			"older one and must not write to them. Start the newer one", e.Projection, e.Tables, e.Folds)
	case e.Tables == 0:
		return fmt.Sprintf("the tables of %s are empty: fill them with `schoolbell rebuild %s`", e.Projection, e.Projection)
	}
	return fmt.Sprintf("the tables of %s were made by version %d of its folds, and this program has version %d: make them anew "+
		"with `schoolbell rebuild %s`", e.Projection, e.Tables, e.Folds, e.Projection)
}

// PositionError says that the log does not have the record that is to be folded next.
type PositionError struct {
	Partition  int32
	Next       int64
	Start, End int64
}

func (e *PositionError) Error() string {
	if e.Next < e.Start {
		return fmt.Sprintf("partition %d is to go on at offset %d, but the log now begins at %d: events were deleted before "+
			"they were folded. Restore the log, or the database from a later backup, and keep the topic's retention unlimited",
			e.Partition, e.Next, e.Start)
	}
	return fmt.Sprintf("partition %d is to go on at offset %d, but the log ends at %d: it has lost events that are in the "+
		"tables. Restore the log, or build all tables anew from it into an empty database", e.Partition, e.Next, e.End)
}

// SubjectKey names a subject within a partition.
type SubjectKey struct {
	School  string
	Subject string
}

// ParkedSubject is a subject whose events are kept aside, from the first one that could not be folded on.
type ParkedSubject struct {
	SubjectKey
	FirstOffset    int64  // of the oldest event that is still parked
	Reason         string // why that one could not be folded
	Attempts       int    // how often it has been tried, the first time included
	ParkedAt       time.Time
	RetryAt        time.Time
	RetryRequested bool   // an operator wants it tried now
	FoldVersion    string // of the set that last tried
}

// ParkedEvent is an event that is kept aside.
type ParkedEvent struct {
	SubjectKey
	Type   string
	Record eventlog.Record
}

// Parking is what a batch changes about parked events.
type Parking struct {
	Subjects []ParkedSubject // new, or tried again in vain
	Events   []ParkedEvent   // new
	Folded   []int64         // offsets of parked events that have been folded now
	Released []SubjectKey    // subjects that have no parked events left
}

// Empty reports that nothing changes.
func (p *Parking) Empty() bool {
	return len(p.Subjects)+len(p.Events)+len(p.Folded)+len(p.Released) == 0
}
