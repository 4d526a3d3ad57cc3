// Package memstore is a store of projections in memory, with the same promises as PostgreSQL: the
// model that the engine is simulated on, and the shortest example of a store. It accepts a commit
// only from the holder of the latest claim, changes everything or nothing, and holds columns as
// they come back from a database, not the Go values that went in.
//
// A commit is encoded first, checked second and applied last, under one lock; see [Store.Commit] to
// change what a store promises, and storetest for the suite that then must pass.
package memstore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/projections"
)

// Store is a [projections.Store] in memory. Its zero value is not ready; use [New].
type Store struct {
	fenced bool

	mu         sync.Mutex
	partitions map[int32]*partition
	tables     map[string]map[string]row // by the table's name and the row's key
	index      map[string][]int64        // the offsets of a school's events in its partition, in order
}

type partition struct {
	topicID string
	claim   projections.Claim
	refusal *eventlog.Refusal // nil when it is not refused
	parked  map[projections.SubjectKey]projections.ParkedSubject
	events  map[int64]projections.ParkedEvent

	skipping map[int64]bool // parked events that an operator has requested to skip
	skipped  map[int64]projections.Skip
	// the records that were passed over, by their offset
	unusable map[int64]projections.UnusableRecord
}

type row struct {
	schema *projections.Schema
	values []any
}

// New returns an empty store.
func New() *Store {
	return &Store{
		fenced: true, partitions: map[int32]*partition{},
		tables: map[string]map[string]row{}, index: map[string][]int64{},
	}
}

// NewUnfenced returns a store that accepts commits from anyone. It is wrong on purpose, for tests
// that must notice.
func NewUnfenced() *Store {
	s := New()
	s.fenced = false
	return s
}

// Claim implements [projections.Store].
func (s *Store) Claim(_ context.Context, n int32, topicID string) (projections.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions[n]
	if p == nil {
		p = &partition{
			topicID: topicID, claim: projections.Claim{Partition: n},
			parked: map[projections.SubjectKey]projections.ParkedSubject{},
			events: map[int64]projections.ParkedEvent{}, skipping: map[int64]bool{},
			skipped: map[int64]projections.Skip{},

			unusable: map[int64]projections.UnusableRecord{},
		}
		s.partitions[n] = p
	}
	if p.topicID != topicID {
		return projections.Claim{},
			&projections.TopicError{Partition: n, Stored: p.topicID, Current: topicID}
	}
	if p.refusal != nil {
		return projections.Claim{}, p.refusal
	}
	p.claim.Epoch++
	return p.claim, nil
}

// Refuse implements [projections.Store].
func (s *Store) Refuse(
	_ context.Context, claim projections.Claim, refusal *eventlog.Refusal,
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions[claim.Partition]
	if p.refusal == nil && p.claim.Next == claim.Next && p.claim.Last == claim.Last {
		p.refusal = refusal
	}
	return nil
}

// Lookup implements [projections.Store].
func (s *Store) Lookup(_ context.Context, wanted []projections.Lookup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range wanted {
		schema := l.Schema()
		for i := range l.Len() {
			key, err := encode(schema, schema.Keys,
				func(column int) reflect.Value { return l.Key(i, column) })
			if err != nil {
				return err
			}
			found, ok := s.tables[schema.Name][keyOf(key)]
			if !ok {
				continue
			}
			if err := l.Found(func(column int, into reflect.Value) error {
				return schema.Columns[column].SetValue(into, found.values[column])
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Commit implements [projections.Store].
func (s *Store) Commit(_ context.Context, claim projections.Claim, c *projections.Commit) error {
	changes, err := encodeAll(c.Rows)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions[claim.Partition]
	if s.fenced && (p == nil || p.claim.Epoch != claim.Epoch || p.claim.Next != c.From) {
		return projections.ErrFenced
	}
	if p.refusal != nil {
		return p.refusal
	}
	for _, offset := range c.Parking.Folded {
		if p.skipping[offset] {
			return fmt.Errorf("event at offset %d is to be skipped", offset)
		}
	}
	for _, ch := range changes {
		if _, exists := s.tables[ch.schema.Name][ch.key]; exists && ch.added {
			return fmt.Errorf("table %s has key %q already: %w", ch.schema.Name, ch.key,
				projections.ErrRejected)
		}
	}
	for _, ch := range changes {
		if s.tables[ch.schema.Name] == nil {
			s.tables[ch.schema.Name] = map[string]row{}
		}
		if ch.deleted {
			delete(s.tables[ch.schema.Name], ch.key)
		} else {
			s.tables[ch.schema.Name][ch.key] = ch.row
		}
	}
	p.claim = p.claim.After(c)
	p.park(&c.Parking)
	for _, u := range c.Unusable {
		p.unusable[u.Record.Position.Offset] = u
	}
	for i := range c.Blocks {
		b := &c.Blocks[i]
		s.index[b.School] = b.Offsets(s.index[b.School], b.First)
	}
	return nil
}

func (p *partition) park(c *projections.Parking) {
	for _, s := range c.Subjects {
		p.parked[s.SubjectKey] = s
	}
	for _, e := range c.Events {
		p.events[e.Record.Position.Offset] = e
	}
	for _, m := range c.Moved {
		e := p.events[m.Offset]
		e.SubjectKey = m.SubjectKey
		p.events[m.Offset] = e
	}
	for _, offset := range c.Folded {
		delete(p.events, offset)
	}
	for _, skip := range c.Skipped {
		delete(p.events, skip.Offset)
		delete(p.skipping, skip.Offset)
		p.skipped[skip.Offset] = skip
	}
	for _, key := range c.Released {
		delete(p.parked, key)
	}
}

// change is one row on its way into a table.
type change struct {
	row
	key     string
	deleted bool
	added   bool
}

func encodeAll(sets []projections.RowSet) ([]change, error) {
	var changes []change
	for _, set := range sets {
		schema := set.Schema()
		for i := range set.Len() {
			columns := len(schema.Columns)
			if set.Deleted(i) {
				columns = schema.Keys
			}
			values, err := encode(schema, columns,
				func(column int) reflect.Value { return set.Value(i, column) })
			if err != nil {
				return nil, err
			}
			changes = append(changes,
				change{
					row{schema, values},
					keyOf(values[:schema.Keys]), set.Deleted(i),
					set.New(i),
				})
		}
	}
	return changes, nil
}

func encode(
	schema *projections.Schema, columns int, value func(column int) reflect.Value,
) ([]any, error) {
	values := make([]any, columns)
	for i := range values {
		v, err := schema.Columns[i].Value(value(i))
		if err != nil {
			return nil, err
		}
		if text, ok := v.(string); ok && strings.IndexByte(text, 0) >= 0 {
			return nil, fmt.Errorf("column %s has a NUL character: %w", schema.Columns[i].Name,
				projections.ErrRejected)
		}
		values[i] = v
	}
	return values, nil
}

func keyOf(values []any) string { return fmt.Sprintf("%q", values) }

// Parked implements [projections.Store].
func (s *Store) Parked(_ context.Context, n int32) ([]projections.ParkedSubject, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions[n]
	if p == nil {
		return nil, nil
	}
	all := slices.SortedFunc(maps.Values(p.parked), func(a, b projections.ParkedSubject) int {
		return cmp.Compare(a.FirstOffset, b.FirstOffset)
	})
	for i := range all {
		all[i].SkipRequested = p.skipping[all[i].FirstOffset]
	}
	return all, nil
}

// FindParked implements [projections.Store].
func (s *Store) FindParked(
	_ context.Context, n int32, offset int64,
) (projections.SubjectKey, projections.EventState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.partitions[n]; p != nil {
		if e, parked := p.events[offset]; parked {
			return e.SubjectKey, projections.IsParked, nil
		}
		if _, skipped := p.skipped[offset]; skipped {
			return projections.SubjectKey{}, projections.IsSkipped, nil
		}
	}
	return projections.SubjectKey{}, projections.NotParked, nil
}

// RequestSkip makes sure that the oldest event of a parked subject is not folded any more, and
// returns its offset. It is false when the subject is not parked.
func (s *Store) RequestSkip(n int32, key projections.SubjectKey) (offset int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions[n]
	if p == nil {
		return 0, false
	}
	subject, parked := p.parked[key]
	if _, there := p.events[subject.FirstOffset]; !parked || !there {
		return 0, false
	}
	p.skipping[subject.FirstOffset] = true
	return subject.FirstOffset, true
}

// Skipped returns the skipped events of a partition, by their offsets.
func (s *Store) Skipped(n int32) map[int64]projections.Skip {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.partitions[n]; p != nil {
		return maps.Clone(p.skipped)
	}
	return nil
}

// ParkedEvents implements [projections.Store].
func (s *Store) ParkedEvents(
	_ context.Context, n int32, key projections.SubjectKey, limit int,
) ([]eventlog.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions[n]
	if p == nil {
		return nil, nil
	}
	var records []eventlog.Record
	for _, offset := range slices.Sorted(maps.Keys(p.events)) {
		if e := p.events[offset]; e.SubjectKey == key && len(records) < limit {
			records = append(records, e.Record)
		}
	}
	return records, nil
}

// RequestRetry makes the partition's worker retry a parked subject now.
func (s *Store) RequestRetry(n int32, key projections.SubjectKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.partitions[n]; p != nil {
		if subject, ok := p.parked[key]; ok {
			subject.RetryRequested = true
			p.parked[key] = subject
		}
	}
}

// Position returns the next offset of a partition.
func (s *Store) Position(n int32) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.partitions[n]; p != nil {
		return p.claim.Next
	}
	return 0
}

// Unusable returns the offsets of the records of a partition that were passed over, in order.
func (s *Store) Unusable(n int32) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.partitions[n]; p != nil {
		return slices.Sorted(maps.Keys(p.unusable))
	}
	return nil
}

// Find implements [eventlog.Index], for stores that have never been without one.
func (s *Store) Find(
	_ context.Context, school string, n int32, from int64, limit int,
) (eventlog.Found, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	offsets := s.index[school]
	first, _ := slices.BinarySearch(offsets, from)
	offsets = slices.Clone(offsets[first:])
	if len(offsets) > limit {
		return eventlog.Found{Offsets: offsets[:limit], Through: offsets[limit-1] + 1}, nil
	}
	found := eventlog.Found{Offsets: offsets}
	if p := s.partitions[n]; p != nil {
		found.Through = p.claim.Next
	}
	return found, nil
}

// Index returns the offsets of each school's events.
func (s *Store) Index() map[string][]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.index)
}

// Dump returns the content of all tables.
func (s *Store) Dump() (projections.Dump, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := projections.Dump{}
	for _, rows := range s.tables {
		for _, r := range rows {
			if err := d.Add(r.schema, r.values); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}
