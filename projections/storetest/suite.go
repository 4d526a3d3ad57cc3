package storetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/projections"
)

// Store is a store whose tables a test can read.
type Store interface {
	projections.Store
	eventlog.Index
	Dump() (projections.Dump, error)
}

// Run verifies that a store keeps its promises. Open returns an empty store for the tables of the
// set.
func Run(t *testing.T, open func(t *testing.T, set *projections.Set) Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *storeTest)
	}{
		{"a claim continues where the last commit ended", testClaims},
		{"a claim is for one topic", testTopic},
		{"rows come back as they were", testRoundTrip},
		{"rows are removed", testDelete},
		{"P3 a fenced commit changes nothing", testFenced},
		{"P3 of many workers one at a time makes progress", testManyWorkers},
		{"P4 a refused commit changes nothing", testRefused},
		{"rows of an append-only table are added once", testAppendOnly},
		{"parked events stay in order until they are folded", testParking},
		{"parked events move to their subject, and are skipped", testSkips},
		{"a commit that revises goes on under the next epoch", testRevision},
		{"partitions do not disturb each other", testPartitions},
		{"P3 the index of the log has what was committed", testIndex},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			set := Set(false)
			c.test(t, &storeTest{T: t, set: set, store: open(t, set), topic: "topic-1"})
		})
	}
}

// storeTest is a store under test.
type storeTest struct {
	*testing.T
	set   *projections.Set
	store Store
	topic string
}

func (b *storeTest) claim(partition int32) projections.Claim {
	c, err := b.store.Claim(b.Context(), partition, b.topic)
	require.NoError(b, err)
	return c
}

// fold folds events from an offset on, as a worker with nothing in memory does.
func (b *storeTest) fold(
	partition int32, from int64, events ...*domain.Envelope,
) *projections.Commit {
	batch := projections.NewBatch(b.set, false)
	for i, e := range events {
		e.Position = domain.Position{Partition: partition, Offset: from + int64(i)}
		for {
			outcome, err := batch.Fold(e)
			require.NoError(b, err)
			if outcome == projections.Folded {
				break
			}
			require.NoError(b, b.store.Lookup(b.Context(), batch.Lookups()))
			batch.Settle()
		}
	}
	sets, _ := batch.Take(0)
	return &projections.Commit{From: from, To: from + int64(len(events)), Rows: sets}
}

func (b *storeTest) commit(claim projections.Claim, events ...*domain.Envelope) {
	c := b.fold(claim.Partition, claim.Next, events...)
	require.NoError(b, b.store.Commit(b.Context(), claim, c))
}

func (b *storeTest) dump() projections.Dump {
	d, err := b.store.Dump()
	require.NoError(b, err)
	return d
}

func testClaims(t *testing.T, b *storeTest) {
	first := b.claim(3)
	require.Equal(t, int64(0), first.Next)
	second := b.claim(3)
	require.Greater(t, second.Epoch, first.Epoch)
	require.Equal(t, int64(0), second.Next)
	b.commit(second, Event("s", 1, Enrol("ana", "7A")), Event("s", 2, Enrol("bo", "7A")))
	require.Equal(t, int64(2), b.claim(3).Next)
}

func testTopic(t *testing.T, b *storeTest) {
	claim := b.claim(0)
	_, err := b.store.Claim(t.Context(), 0, "topic-2")
	var wrong *projections.TopicError
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, projections.TopicError{Partition: 0, Stored: "topic-1", Current: "topic-2"},
		*wrong)
	b.commit(claim, Event("s", 1, Enrol("ana", "7A"))) // still holds the claim
}

func testRoundTrip(t *testing.T, b *storeTest) {
	events := []*domain.Envelope{
		Event("école 学校 🏫", 1, Enrol("ana", "7A")), // its date of birth is not known
		Event("s", 2, Enrol("ana", "7A")),
		Event("s", 3, Mark("ana", 1, attendance.Present,
			"tab\tand \\ and \"quote\" and 'quote' and {brace}, \u00e9\u4e2d\U0001f3eb")),
		Event("s", 4, Mark("ana", 1, attendance.AbsentExcused, "")),
	}
	born := Enrol("bo", "7B")
	born.BirthDate = domain.NewDate(1999, 12, 31)
	early := Enrol("cy", "7B")
	early.BirthDate = domain.NewDate(1900, 2, 28)
	events = append(events, Event("s", 5, born), Event("s", 6, early))

	reference := projections.NewReference(b.set, nil, 1, 1)
	claim := b.claim(0)
	for i, e := range events {
		e.Time = e.Time.Truncate(time.Microsecond)
		// each in a commit of its own, so that all that was read was stored before
		claim.Next = int64(i)
		b.commit(claim, e)
		require.NoError(t, reference.Fold(e))
	}
	want, err := reference.Dump()
	require.NoError(t, err)
	require.Equal(t, want, b.dump())
}

func testDelete(t *testing.T, b *storeTest) {
	claim := b.claim(0)
	b.commit(claim, Event("s", 1, Enrol("ana", "7A")), Event("s", 2, Enrol("bo", "7A")))
	claim.Next = 2
	b.commit(claim, Event("s", 3, Withdraw("ana")), Event("s", 4, Withdraw("nobody")))
	require.Equal(t, []string{"s | bo"}, slices.Sorted(maps.Keys(b.dump()["test_pupils"])))
}

func testFenced(t *testing.T, b *storeTest) {
	old := b.claim(0)
	b.commit(old, Event("s", 1, Enrol("ana", "7A")))
	before := b.dump()

	newer := b.claim(0)
	late := b.fold(0, 1, Event("s", 2, Withdraw("ana")), Event("s", 3, Enrol("bo", "7A")))
	late.Parking = parking("s", "cy", 2)
	require.ErrorIs(t, b.store.Commit(t.Context(), old, late), projections.ErrFenced)
	require.Equal(t, before, b.dump())
	require.Empty(t, b.parked(0))

	// Nor may the holder itself skip offsets or repeat them.
	late.From = 0
	require.ErrorIs(t, b.store.Commit(t.Context(), newer, late), projections.ErrFenced)
	late.From, late.To = 2, 3
	require.ErrorIs(t, b.store.Commit(t.Context(), newer, late), projections.ErrFenced)
	require.Equal(t, before, b.dump())
	late.From = 1
	require.NoError(t, b.store.Commit(t.Context(), newer, late))
	require.Len(t, b.parked(0), 1)
}

func testManyWorkers(t *testing.T, b *storeTest) {
	var all errgroup.Group
	for worker := range 8 {
		all.Go(func() error {
			for {
				claim, err := b.store.Claim(t.Context(), 0, b.topic)
				if err != nil {
					return err
				}
				if claim.Next >= 40 {
					return nil
				}
				c := b.fold(0, claim.Next,
					Event("s", int(claim.Next), Enrol("ana", string(rune('A'+worker)))))
				if err := b.store.Commit(t.Context(), claim, c); err != nil &&
					!errors.Is(err, projections.ErrFenced) {
					return err
				}
			}
		})
	}
	require.NoError(t, all.Wait())
	require.Len(t, b.dump()["test_journal"], 40)
	require.Equal(t, "40", b.dump()["test_kinds"]["s | schoolbell.student.enrolled.v1"][2])
}

func testRefused(t *testing.T, b *storeTest) {
	claim := b.claim(0)
	c := b.fold(0, 0, Event("s", 1, Enrol("ana", "7A")),
		Event("s", 2, Mark("ana", 1, attendance.Present, ReasonNUL)))
	c.Parking = parking("s", "cy", 2)
	require.ErrorIs(t, b.store.Commit(t.Context(), claim, c), projections.ErrRejected)
	require.Empty(t, b.dump())
	require.Empty(t, b.parked(0))
	require.Equal(t, int64(0), b.claim(0).Next)
}

func testAppendOnly(t *testing.T, b *storeTest) {
	claim := b.claim(0)
	c := b.fold(0, 0, Event("s", 1, Enrol("ana", "7A")))
	require.NoError(t, b.store.Commit(t.Context(), claim, c))
	c.From, c.To = 1, 2
	require.ErrorIs(t, b.store.Commit(t.Context(), claim, c), projections.ErrRejected)
}

func parking(school, subject string, offset int64) projections.Parking {
	key := projections.SubjectKey{School: school, Subject: subject}
	return projections.Parking{
		Subjects: []projections.ParkedSubject{{
			SubjectKey: key, FirstOffset: offset, Reason: "because \"of\" it", Attempts: 1,
			ParkedAt: epoch, RetryAt: epoch.Add(time.Minute), FoldVersion: "a.1 b.2",
		}},
		Events: []projections.ParkedEvent{parkedEvent(key, offset)},
	}
}

func parkedEvent(key projections.SubjectKey, offset int64) projections.ParkedEvent {
	return projections.ParkedEvent{SubjectKey: key, Type: "some.type", Record: eventlog.Record{
		Position: domain.Position{Offset: offset},
		Time:     epoch.Add(time.Duration(offset) * time.Millisecond), Key: []byte(key.School),
		Headers: []eventlog.Header{
			{Key: "ce_id", Value: []byte{0, 255, '"'}},
			{Key: "", Value: []byte{}},
			{Key: "ce_id", Value: []byte("again")},
		},
		Value: []byte("\x00\xff not JSON"),
	}}
}

func (b *storeTest) parked(partition int32) []projections.ParkedSubject {
	subjects, err := b.store.Parked(b.Context(), partition)
	require.NoError(b, err)
	return subjects
}

func (b *storeTest) parkedEvents(key projections.SubjectKey, limit int) []eventlog.Record {
	records, err := b.store.ParkedEvents(b.Context(), 0, key, limit)
	require.NoError(b, err)
	return records
}

func testParking(t *testing.T, b *storeTest) {
	claim := b.claim(0)
	key := projections.SubjectKey{School: "s", Subject: "cy"}
	first := parking("s", "cy", 0)
	require.NoError(t,
		b.store.Commit(t.Context(), claim, &projections.Commit{From: 0, To: 1, Parking: first}))
	later := projections.Parking{Events: []projections.ParkedEvent{
		parkedEvent(key, 1),
		parkedEvent(key, 2),
	}}
	require.NoError(t,
		b.store.Commit(t.Context(), claim, &projections.Commit{From: 1, To: 3, Parking: later}))

	require.Equal(t, first.Subjects, b.parked(0))
	require.Equal(t, []eventlog.Record{first.Events[0].Record, later.Events[0].Record},
		b.parkedEvents(key, 2))

	// Retried: the first is folded, the second is not.
	again := first.Subjects[0]
	again.FirstOffset, again.Attempts, again.Reason = 1, 2, "another"
	retry := projections.Parking{Subjects: []projections.ParkedSubject{again}, Folded: []int64{0}}
	require.NoError(t,
		b.store.Commit(t.Context(), claim, &projections.Commit{From: 3, To: 3, Parking: retry}))
	require.Equal(t, []projections.ParkedSubject{again}, b.parked(0))
	require.Len(t, b.parkedEvents(key, 10), 2)

	release := projections.Parking{Folded: []int64{1, 2}, Released: []projections.SubjectKey{key}}
	require.NoError(t,
		b.store.Commit(t.Context(), claim, &projections.Commit{From: 3, To: 3, Parking: release}))
	require.Empty(t, b.parked(0))
	require.Empty(t, b.parkedEvents(key, 10))
}

func testSkips(t *testing.T, b *storeTest) {
	claim := b.claim(0)
	school, cy := projections.SubjectKey{School: "s"}, projections.SubjectKey{School: "s", Subject: "cy"}
	state := func(offset int64, key projections.SubjectKey, want projections.EventState) {
		t.Helper()
		found, state, err := b.store.FindParked(t.Context(), 0, offset)
		require.NoError(t, err)
		require.Equal(t, want, state)
		require.Equal(t, key, found)
	}
	parked := parking("s", projections.WholeSchool, 0)
	parked.Events = append(parked.Events, parkedEvent(school, 1))
	require.NoError(t,
		b.store.Commit(t.Context(), claim, &projections.Commit{From: 0, To: 2, Parking: parked}))
	state(1, school, projections.IsParked)
	moved := parking("s", "cy", 1)
	moved.Events, moved.Moved = nil, []projections.MovedEvent{{SubjectKey: cy, Offset: 1}}
	require.NoError(t,
		b.store.Commit(t.Context(), claim, &projections.Commit{From: 2, To: 2, Parking: moved}))
	state(1, cy, projections.IsParked)
	require.Len(t, b.parkedEvents(school, 10), 1)
	require.Len(t, b.parkedEvents(cy, 10), 1)

	skip := projections.Parking{Skipped: []projections.Skip{
		{School: "s", Offset: 1, By: 2, Reason: "so", Actor: "op", At: epoch},
	}, Released: []projections.SubjectKey{cy}}
	require.NoError(t,
		b.store.Commit(t.Context(), claim, &projections.Commit{From: 2, To: 3, Parking: skip}))
	_, is, err := b.store.FindParked(t.Context(), 0, 1)
	require.NoError(t, err)
	require.Equal(t, projections.IsSkipped, is)
	state(2, projections.SubjectKey{}, projections.NotParked)
	require.Empty(t, b.parkedEvents(cy, 10))
}

func testRevision(t *testing.T, b *storeTest) {
	claim := b.claim(0)
	b.commit(claim, Event("s", 1, Enrol("ana", "7A")))
	revising := &projections.Commit{From: 1, To: 1, Revises: true}
	for range 2 {
		require.NoError(t, b.store.Commit(t.Context(), claim, revising))
		before := claim
		claim = claim.After(revising)
		require.Greater(t, claim.Tables, before.Tables)
		require.ErrorIs(t, b.store.Commit(t.Context(), before, revising), projections.ErrFenced)
	}
	next := b.claim(0)
	require.Equal(t, claim.Tables, next.Tables, "what was revised is found by the next claim")
	require.Greater(t, next.Epoch, claim.Epoch)
	require.ErrorIs(t, b.store.Commit(t.Context(), claim, revising), projections.ErrFenced)
	b.commit(next, Event("s", 2, Enrol("bo", "7A")))
}

func testPartitions(t *testing.T, b *storeTest) {
	one, two := b.claim(1), b.claim(2)
	b.commit(one, Event("s", 1, Enrol("ana", "7A")))
	b.commit(two, Event("z", 1, Enrol("ana", "7A")))
	require.NoError(t, b.store.Commit(context.Background(), two,
		&projections.Commit{From: 1, To: 2, Parking: parking("z", "cy", 1)}))
	require.Empty(t, b.parked(1))
	require.Len(t, b.parked(2), 1)
	require.Equal(t, []string{"s | ana", "z | ana"},
		slices.Sorted(maps.Keys(b.dump()["test_pupils"])))
}
