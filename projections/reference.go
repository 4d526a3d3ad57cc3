package projections

import (
	"reflect"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/log"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Reference folds a log in the plainest way there is: one event after the other into maps, without
// batches, stores, lookups or eviction. It shares the folds with the engine and hardly anything
// else, so that tests can compare the two. (`schoolbell verify` does not use it: it runs a second
// engine, as the tables need not fit into memory.)
type Reference struct {
	set        *Set
	decode     Decode
	partitions int32
	window     int64
	maxParked  int

	batch   *Batch
	tables  []plainTable
	seen    map[referenceID]*eventlog.Record // the latest event of each id
	parked  map[referenceSubject][]int64
	skipped map[domain.Position]string // the school
	dropped int                        // duplicates

	unusable map[int32][]int64
	index    map[string][]int64
}

type referenceID struct {
	partition          int32
	school, source, id string
}

type referenceSubject struct {
	partition int32
	SubjectKey
}

// NewReference returns a reference that has folded nothing. Window is within how many offsets a
// repeated event is a duplicate.
func NewReference(set *Set, decode Decode, partitions int32, window int) *Reference {
	r := &Reference{
		set: set, decode: decode, partitions: partitions, window: int64(window), maxParked: DefaultMaxParked,
		batch: &Batch{set: set}, seen: map[referenceID]*eventlog.Record{},
		parked: map[referenceSubject][]int64{}, skipped: map[domain.Position]string{},
		unusable: map[int32][]int64{}, index: map[string][]int64{},
	}
	for _, t := range set.tables {
		for len(r.batch.rows) <= t.ordinal() {
			r.batch.rows = append(r.batch.rows, nil)
		}
		rows := t.newPlainRows()
		r.batch.rows[t.ordinal()] = rows
		r.tables = append(r.tables, rows)
	}
	return r
}

// Add folds the next record of its partition.
func (r *Reference) Add(rec eventlog.Record) {
	event, fault := eventlog.Decode(r.decode, &rec, r.partitions)
	e := newEntry(&rec, event, fault)
	if e.unusable() {
		r.PassOver(rec.Position)
		return
	}
	if r.duplicate(&rec) {
		r.dropped++
		return
	}
	r.index[e.subject().School] = append(r.index[e.subject().School], e.offset())
	if _, skip := e.event.Data.(*log.EventSkipped); skip && fault == nil {
		return
	}
	if school, skipped := r.skipped[rec.Position]; skipped && school == e.subject().School {
		return
	}
	subject := referenceSubject{rec.Position.Partition, e.subject()}
	school := subject
	school.Subject = WholeSchool
	switch {
	case r.parked[school] != nil:
		r.parked[school] = append(r.parked[school], e.offset())
	case r.parked[subject] == nil && e.fault == nil && r.Fold(e.event) == nil:
	case r.parked[subject] == nil && r.parkedOf(school) >= r.maxParked:
		r.parked[school] = append(r.parked[school], e.offset())
	default:
		r.parked[subject] = append(r.parked[subject], e.offset())
	}
}

// Skip leaves out the event that a record says to skip. All of them come before the first Add.
func (r *Reference) Skip(rec eventlog.Record) {
	event, fault := eventlog.Decode(r.decode, &rec, r.partitions)
	if skip, ok := skipOf(event); ok && fault == nil {
		r.skipped[domain.Position{Partition: rec.Position.Partition, Offset: skip.Offset}] = skip.School
	}
}

// LimitParked sets how many subjects of a school may be parked before the school is.
func (r *Reference) LimitParked(subjects int) { r.maxParked = subjects }

// parkedOf counts the parked subjects of a school.
func (r *Reference) parkedOf(school referenceSubject) (n int) {
	for key := range r.parked {
		if key.partition == school.partition && key.School == school.School {
			n++
		}
	}
	return n
}

func (r *Reference) duplicate(rec *eventlog.Record) bool {
	school, source, id, ok := rec.Identity()
	if !ok {
		return false
	}
	key := referenceID{rec.Position.Partition, school, source, id}
	last := r.seen[key]
	r.seen[key] = rec
	if last == nil || rec.Position.Offset-last.Position.Offset > r.window {
		return false
	}
	if last.Content() != rec.Content() {
		r.PassOver(rec.Position)
	}
	return true
}

// Fold applies one event, entirely or not at all.
func (r *Reference) Fold(e *domain.Envelope) error {
	err := r.fold(e)
	for _, t := range r.tables {
		if err != nil {
			t.undo()
		} else {
			t.accept()
		}
	}
	return err
}

func (r *Reference) fold(e *domain.Envelope) (err error) {
	defer recoverFold(&err)
	for _, f := range slices.Concat(r.set.folds[reflect.TypeOf(e.Data)], r.set.every) {
		if err := f.fold(r.batch, e); err != nil {
			return r.set.foldError(f, err)
		}
	}
	return nil
}

// Dump returns the tables.
func (r *Reference) Dump() (Dump, error) {
	d := Dump{}
	for _, t := range r.tables {
		if err := t.dump(d); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Parked returns the offsets of the parked events by subject, for one partition.
func (r *Reference) Parked(partition int32) map[SubjectKey][]int64 {
	of := map[SubjectKey][]int64{}
	for key, offsets := range r.parked {
		if key.partition == partition {
			of[key.SubjectKey] = offsets
		}
	}
	return of
}

// PassOver notes a record that nobody can use, a batch that cannot be decoded, or an event whose id
// another one has.
func (r *Reference) PassOver(at domain.Position) {
	r.unusable[at.Partition] = append(r.unusable[at.Partition], at.Offset)
}

// Unusable returns the offsets that were passed over in a partition, in order.
func (r *Reference) Unusable(partition int32) []int64 { return r.unusable[partition] }

// Index returns the offsets of each school's events that count, in order: parked and skipped ones
// too, but no duplicates and none that nobody can use.
func (r *Reference) Index() map[string][]int64 { return r.index }

// Duplicates returns how many records were dropped as such.
func (r *Reference) Duplicates() int { return r.dropped }
