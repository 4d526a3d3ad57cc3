package eventlog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// RecordDigest identifies the content of a record: its key, headers and value. The zero value is none.
type RecordDigest [16]byte

// String returns the first digits, enough to tell two records apart by eye.
func (d RecordDigest) String() string { return hex.EncodeToString(d[:4]) }

// Mark is the last record that a reader has read before its position: what an offset alone cannot
// say is whether the log that has it is still the same one. It has an offset of its own, because
// there may be offsets without records between it and the position. The zero value is none.
type Mark struct {
	Offset int64
	Digest RecordDigest
}

// Known reports whether there is a record to compare.
func (m Mark) Known() bool { return m.Digest != RecordDigest{} }

// MarkOf returns the mark that a record leaves. Its time is left out: copies of a log may have
// another one.
func MarkOf(rec *Record) Mark {
	h := sha256.New()
	var n [8]byte
	part := func(b []byte) {
		// Each part is preceded by its length, so that no two records share their bytes.
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	part(rec.Key)
	part(rec.Value)
	for i := range rec.Headers {
		part([]byte(rec.Headers[i].Key))
		part(rec.Headers[i].Value)
	}
	m := Mark{Offset: rec.Position.Offset}
	copy(m.Digest[:], h.Sum(nil))
	return m
}

// Mark returns the mark that the entry leaves. A batch that cannot be decoded leaves none, as a later
// program may be able to read it, and neither does no entry.
func (e *Entry) Mark() Mark {
	if e == nil || e.Undecodable() {
		return Mark{}
	}
	return MarkOf(&e.Record)
}

// ErrRefused says that the partition is refused until an operator decides. See [Refusal].
var ErrRefused = errors.New("partition is refused until an operator decides")

// Reasons of a [Refusal].
const (
	RefusedCut      = "cut"      // the log ends before the position
	RefusedReplaced = "replaced" // the log has another record than the one that was read
	RefusedOther    = "other"    // the position belongs to a topic with another id
)

// Refusal says that a partition of the log is not the one that was read: it was set back or cut, or
// is another one. Events that are appended to it later do not make it right, so it is neither read
// nor written until an operator has decided. It is an error that wraps [ErrRefused].
type Refusal struct {
	Partition int32     `json:"partition"`
	TopicID   string    `json:"topic_id"` // of the log that is refused
	Reason    string    `json:"reason"`
	Expected  string    `json:"expected"` // by the position
	Found     string    `json:"found"`    // in the log
	Since     time.Time `json:"since"`    // zero until it is stored
}

func (r *Refusal) Error() string {
	remedy := "restore the log as it was"
	if r.Reason == RefusedOther { // more often a wrong setting than a topic that was created again
		remedy = "correct the brokers and the topic in the settings if they name another log"
	}
	return fmt.Sprintf("partition %d of the log is not the one that was read: expected %s, found "+
		"%s. It is neither read nor written until you decide: %s, or see "+
		"`schoolbell log status`", r.Partition, r.Expected, r.Found, remedy)
}

// Unwrap returns [ErrRefused].
func (r *Refusal) Unwrap() error { return ErrRefused }

// Compare looks whether a partition still has what was read of it before a position: it returns a
// [*Refusal] when it has not, and another error when that cannot be found out at the moment. A
// record that retention has removed cannot be compared.
func Compare(
	ctx context.Context, log Source, topic Topic, partition int32, next int64, last Mark,
) error {
	start, end, err := log.Bounds(ctx, partition)
	if err != nil {
		return err
	}
	refusal := &Refusal{Partition: partition, TopicID: topic.ID}
	if next > end {
		refusal.Reason = RefusedCut
		refusal.Expected = fmt.Sprintf("%d records, as many were read", next)
		refusal.Found = fmt.Sprintf("the end of the log at offset %d", end)
		return refusal
	}
	if !last.Known() || last.Offset < start {
		return nil
	}
	refusal.Reason = RefusedReplaced
	refusal.Expected = fmt.Sprintf("the record %s at offset %d", last.Digest, last.Offset)
	batch, err := log.Fetch(ctx, partition, last.Offset, 1, 0)
	if _, undecodable := errors.AsType[*UndecodableError](err); undecodable {
		refusal.Found = "a batch that cannot be decoded"
		return refusal
	}
	switch {
	case err != nil:
		return err
	case len(batch.Records) > 0 && batch.Records[0].Position.Offset == last.Offset:
		found := MarkOf(&batch.Records[0])
		if found == last {
			return nil
		}
		refusal.Found = fmt.Sprintf("the record %s", found.Digest)
		return refusal
	case len(batch.Records) > 0 || batch.Next > last.Offset:
		refusal.Found = "no record"
		return refusal
	}
	// A leader that has just been elected may not show its last records yet.
	return fmt.Errorf("read the record at offset %d of partition %d: %w", last.Offset, partition,
		ErrUnavailable)
}
