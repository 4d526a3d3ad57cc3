package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"
)

// Index finds the events of one school in its partition, so that who wants only these need not read
// the neighbours' records in between. It is made with the tables, in the same transactions, and so
// reaches to where they stand; what is beyond is read from the log itself.
type Index interface {
	// Find returns where a school's events are in its partition, from an offset on and at most
	// limit of them.
	Find(ctx context.Context, school string, partition int32, from int64, limit int) (Found, error)
}

// ErrNoIndex says that the index cannot be read at the moment. The log itself may well be read.
var ErrNoIndex = errors.New("cannot look up the events")

// Found is what an [Index] knows.
type Found struct {
	Offsets []int64 // of events that count, in order
	// Through is the offset before which there are no others. It is that of the question, or less,
	// when the index does not reach that far.
	Through int64
}

const (
	// indexLimit is how many events one look into the index returns at most.
	indexLimit = BlockSize
	// maxGap is how many records of others are read rather than left out by another fetch.
	maxGap = 16
	// typicalBytes is what a record takes, about, and fetchCost what a fetch counts for at least.
	typicalBytes = 1 << 10
	fetchCost    = 16 << 10
)

// fetchIndexed reads the next events of a school that an index knows, from an offset on: at most
// limit of them, and not many more bytes than maxBytes, or as many fetches as would cost as much. The batch's Next is the offset itself, when
// the index does not reach that far.
func fetchIndexed(
	ctx context.Context, log Fetcher, index Index, school string, partition int32, from int64,
	limit, maxBytes int,
) (Batch, error) {
	found, err := index.Find(ctx, school, partition, from, min(limit, indexLimit))
	if err != nil {
		if ctx.Err() != nil {
			return Batch{}, ctx.Err()
		}
		return Batch{}, fmt.Errorf("%w of school %q: %w", ErrNoIndex, school, err)
	}
	events := Batch{Next: max(from, found.Through)}
	events.HighWatermark = events.Next
	wanted := found.Offsets
	for size := 0; len(wanted) > 0; {
		if size >= maxBytes {
			events.Next = wanted[0]
			break
		}
		batch, err := log.Fetch(ctx, partition, wanted[0], runBytes(wanted, maxBytes), readWait)
		if err != nil {
			return Batch{}, fmt.Errorf("read the event at %d:%d: %w", partition, wanted[0], err)
		}
		if batch.Next <= wanted[0] {
			return Batch{}, fmt.Errorf("%w: it ends at %d, and the index names an event at %d",
				ErrUnavailable, batch.HighWatermark, wanted[0])
		}
		events.HighWatermark, events.LogStart = batch.HighWatermark, batch.LogStart
		fetched := 0
		for i := range batch.Records {
			rec := &batch.Records[i]
			wanted = dropBefore(wanted, rec.Position.Offset)
			if len(wanted) > 0 && wanted[0] == rec.Position.Offset {
				events.Records = append(events.Records, *rec)
				fetched += len(rec.Value)
			}
		}
		size += max(fetched, fetchCost)
		wanted = dropBefore(wanted, batch.Next)
	}
	return events, nil
}

// runBytes is how much to fetch for the first of the wanted events and those close behind it.
func runBytes(wanted []int64, maxBytes int) int {
	last := 0
	for last+1 < len(wanted) && wanted[last+1]-wanted[last] <= maxGap {
		last++
	}
	return min(maxBytes, int(wanted[last]-wanted[0]+1)*typicalBytes)
}

// dropBefore drops the offsets before one.
func dropBefore(offsets []int64, from int64) []int64 {
	return offsets[sort.Search(len(offsets), func(i int) bool { return offsets[i] >= from }):]
}

// ReadIndexed returns the next events of a school that the index knows, from an offset on and at
// most limit of them. They are no duplicates. The stretch's Next is the offset itself when the index
// does not reach that far: then the partition itself must be read, with a [Cursor] or with
// [Reader.ReadSchool].
func (r *Reader) ReadIndexed(
	ctx context.Context, index Index, school string, partition int32, from int64, limit int,
) (Stretch, error) {
	batch, err := fetchIndexed(ctx, r.cfg.Source, index, school, partition, from, limit, readBytes)
	if err != nil {
		return Stretch{}, err
	}
	s := Stretch{
		Next: batch.Next, HighWatermark: batch.HighWatermark, LogStart: batch.LogStart,
		Entries: make([]Entry, len(batch.Records)),
	}
	for i := range batch.Records {
		s.Entries[i].Record, s.Entries[i].reader = batch.Records[i], r
	}
	return s, nil
}

// ReadSchool reads one piece of a partition from an offset on, and returns the events of a school in
// it. It is for a reader that has no cursor, because it comes once. At the end of the log it waits up
// to maxWait. Where no cursor of this process has read yet, a repeated event may be among them.
func (r *Reader) ReadSchool(
	ctx context.Context, school string, partition int32, from int64, maxWait time.Duration,
) (Stretch, error) {
	batch, err := r.cfg.Source.Fetch(ctx, partition, from, readBytes, maxWait)
	for err != nil {
		undecodable, ok := errors.AsType[*UndecodableError](err)
		if !ok {
			return Stretch{}, err
		}
		from = undecodable.Last + 1
		batch, err = r.cfg.Source.Fetch(ctx, partition, from, readBytes, maxWait)
	}
	r.mu.Lock()
	t := r.tails[partition]
	r.mu.Unlock()
	var own []*Record
	for i := range batch.Records {
		rec := &batch.Records[i]
		if string(rec.Key) == school && (t == nil || !t.knowsDuplicate(rec.Position.Offset)) {
			own = append(own, rec)
		}
	}
	s := Stretch{
		// It may end in records that are nobody's to see, such as markers of transactions.
		Next: max(from, batch.Next), HighWatermark: batch.HighWatermark, LogStart: batch.LogStart,
		Entries: make([]Entry, len(own)),
	}
	for i, rec := range own {
		s.Entries[i].Record, s.Entries[i].reader = *rec, r
	}
	return s, nil
}

// knowsDuplicate reports whether the record at an offset is certainly a duplicate.
func (t *tail) knowsDuplicate(offset int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.started && offset >= t.decidedFrom() && offset < t.next && t.verdicts.get(offset)
}

// schoolLog is a log that seems to hold one school's events and nothing else, as far as an index
// reaches.
type schoolLog struct {
	Source
	index  Index
	school string
}

// OfSchool returns the log as it would be if it held the events of one school only, each at the
// offset that it has, and without its duplicates. Beyond what the index knows it is as it is.
func OfSchool(log Source, index Index, school string) Source {
	return schoolLog{log, index, school}
}

// Fetch implements [Fetcher].
func (l schoolLog) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (Batch, error) {
	batch, err := fetchIndexed(ctx, l.Source, l.index, l.school, partition, offset, indexLimit,
		maxBytes)
	if err != nil || batch.Next > offset {
		return batch, err
	}
	return l.Source.Fetch(ctx, partition, offset, maxBytes, maxWait)
}
