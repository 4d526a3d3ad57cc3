package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/eventlog"
)

// Store stores what a set has folded: the rows of its tables, the position of each partition, and
// the parked events. All three change together or not at all, and only for the holder of the latest
// claim. The suite in projections/storetest states in full what that means.
type Store interface {
	// Claim takes a partition over: it ends all earlier claims to it and returns where to continue.
	// The first claim to a partition stores the topic's id; a later one under another id changes
	// nothing and fails with a [*TopicError], and one of a refused partition with an
	// [*eventlog.Refusal]. A store that outlives programs also stores with which
	// versions of the folds its tables were made, and refuses others with a [*VersionError].
	Claim(ctx context.Context, partition int32, topicID string) (Claim, error)
	// Refuse lets no claim of a partition and no commit succeed until an operator decides, whoever
	// tries: the log does not have what a claim says was read.
	Refuse(ctx context.Context, claim Claim, refusal *eventlog.Refusal) error
	// Lookup passes each of the wanted rows that exist to its [Lookup].
	Lookup(ctx context.Context, wanted []Lookup) error
	// Commit moves a partition from one position to another, with all that the events in between
	// have changed. When the claim is no longer the latest, or the partition is not at c.From,
	// nothing changes and the error is [ErrFenced], or [ErrRebuilt] if only a rebuild is the
	// reason. A parked event that an operator has requested to skip is not folded: the commit fails.
	// One that revises raises the claim's epoch with that of the partition: see [Claim.After].
	// After any other error but [ErrRejected] the outcome is unknown: the commit may have
	// taken place.
	Commit(ctx context.Context, claim Claim, c *Commit) error
	// Parked returns all parked subjects of a partition.
	Parked(ctx context.Context, partition int32) ([]ParkedSubject, error)
	// FindParked returns what is known about the event at an offset, and behind what it is parked.
	FindParked(ctx context.Context, partition int32, offset int64) (SubjectKey, EventState, error)
	// ParkedEvents returns the oldest events of a parked subject, at most limit.
	ParkedEvents(
		ctx context.Context, partition int32, key SubjectKey, limit int,
	) ([]eventlog.Record, error)
}

// Claim is the right to move one partition, until the next claim.
type Claim struct {
	Partition int32
	Epoch     int64 // grows with every claim
	Next      int64 // the offset of the next record to fold
	// Tables is the epoch of the latest exchange of tables by a rebuild, or of the latest commit that
	// revises, 0 without any. What was read from the tables of an earlier one may be out of date, even
	// at the same position.
	Tables int64
	Last   eventlog.Mark // the last record that was read, to compare the log with
}

// After returns the claim as it is after a commit under it.
func (c Claim) After(done *Commit) Claim {
	c.Next = done.To
	if done.Revises {
		c.Epoch++
		c.Tables = c.Epoch
	}
	if done.Last.Known() {
		c.Last = done.Last
	}
	return c
}

// Commit is what a batch of events has changed.
type Commit struct {
	// the partition's position before and after; equal when only parked events were folded
	From, To int64
	Last     eventlog.Mark // the last record that was read before To; none leaves the one before
	Rows     []RowSet
	Parking  Parking
	// Revises says that events before From, which were parked, are a part of what has changed, so the
	// position does not tell the tables before and after from one another.
	Revises bool
	// Unusable are the records in between that were passed over, but for repetitions. The store
	// reports them.
	Unusable []UnusableRecord
	// Blocks say where the events in between are, by school. The store appends each to what it has
	// of the school's block, which is all before From.
	Blocks []eventlog.Block
}

// UnusableRecord is a record of the log that nobody can use, a batch that cannot be decoded, or an
// event whose id another event has ([eventlog.ConflictError]).
type UnusableRecord struct {
	Record eventlog.Record
	Last   int64 // the last offset of the batch, else the record's own
	Reason error
}

// ErrFenced means that another worker has claimed the partition since.
var ErrFenced = errors.New("partition has been claimed by another process")

// ErrRebuilt means that a rebuild has exchanged the rows. No other worker has claimed the
// partition, so this one may do so again at once.
var ErrRebuilt = errors.New("tables have been rebuilt")

// ErrRejected means that the store refuses the rows themselves, and would refuse them again.
// Nothing has changed.
var ErrRejected = errors.New("store refuses the rows")

// TopicError means that the log is not the one that the tables were folded from.
type TopicError struct {
	Partition int32
	Stored    string // the id of the topic that the tables were folded from
	Current   string // the id of the topic now
}

func (e *TopicError) Error() string {
	return fmt.Sprintf("partition %d was folded from the topic with id %s, and the topic now has "+
		"id %s: it was deleted and created again, or this is another cluster. Point Schoolbell "+
		"at the log that the tables were folded from; nothing is folded until then, and the "+
		"tables stay as they are", e.Partition, e.Stored, e.Current)
}

// VersionError means that a projection's tables were made by other folds than those of this
// program.
type VersionError struct {
	Projection string
	// the version that its tables were made with; 0 when nothing has been folded into them
	Tables int
	Folds  int // the version of this program's folds; 0 when it does not know the projection
}

func (e *VersionError) Error() string {
	switch {
	case e.Folds == 0:
		return fmt.Sprintf("the tables hold projection %s, which this program does not have: a "+
			"newer version has made them. Start that one", e.Projection)
	case e.Folds < e.Tables:
		return fmt.Sprintf("the tables of %s were made by version %d of its folds, and this "+
			"program has version %d: it is the older one and must not write to them. Start the "+
			"newer one", e.Projection, e.Tables,
			e.Folds)
	case e.Projection == LogIndex:
		return "the tables have no index of the log as this program makes it: make it with " +
			"`schoolbell rebuild`"
	case e.Tables == 0:
		return fmt.Sprintf("the tables of %s are empty: fill them with `schoolbell rebuild %s`",
			e.Projection, e.Projection)
	}
	return fmt.Sprintf("the tables of %s were made by version %d of its folds, and this program "+
		"has version %d: rebuild them with `schoolbell rebuild %s`",
		e.Projection, e.Tables, e.Folds, e.Projection)
}

// PositionError means that the log no longer has the record that is to be folded next.
type PositionError struct {
	Partition int32
	Next      int64
	Start     int64
}

func (e *PositionError) Error() string {
	return fmt.Sprintf("partition %d is to continue at offset %d, but the log now begins at "+
		"%d: events were deleted before they were folded. Restore the log, or the database "+
		"from a later backup, and keep the topic's retention unlimited",
		e.Partition, e.Next, e.Start)
}

// WholeSchool is the subject under which a school is parked that has as many parked subjects as it
// may: all its later events wait there. No event has it as its subject.
const WholeSchool = ""

// SubjectKey names a subject within a partition, or a whole school.
type SubjectKey struct {
	School  string
	Subject string
}

// ParkedSubject is a subject or a whole school whose events are parked, from the first one that
// could not be folded.
type ParkedSubject struct {
	SubjectKey
	FirstOffset    int64  // of the oldest event that is still parked
	Reason         string // why that one could not be folded
	Attempts       int    // including the first
	ParkedAt       time.Time
	RetryAt        time.Time
	RetryRequested bool   // an operator wants it retried now
	SkipRequested  bool   // the oldest event is to be skipped, and so must not be folded
	FoldVersion    string // of the set that last tried
}

// ParkedEvent is an event that is parked.
type ParkedEvent struct {
	SubjectKey
	Type   string
	Record eventlog.Record
}

// MovedEvent is a parked event that no longer waits behind its school, but behind its subject.
type MovedEvent struct {
	SubjectKey
	Offset int64
}

// Parking is what a batch changes about parked events.
type Parking struct {
	Subjects []ParkedSubject // new, or retried without success
	Events   []ParkedEvent   // new
	Moved    []MovedEvent    // were parked with their school, and now are with their subject
	Folded   []int64         // offsets of parked events that have been folded now
	Skipped  []Skip          // parked or not
	Released []SubjectKey    // subjects and schools that have no parked events left
}

// Empty reports that nothing changes.
func (p *Parking) Empty() bool {
	return len(p.Subjects)+len(p.Events)+len(p.Moved)+len(p.Folded)+
		len(p.Skipped)+len(p.Released) == 0
}
