package projections_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/memstore"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// skip does what an operator's command does, and returns the position of the skipped event.
func (w *world) skip(school, subject string) domain.Position {
	n := eventlog.PartitionFor(school, partitions)
	key := projections.SubjectKey{School: school, Subject: subject}
	offset, ok := w.store.RequestSkip(n, key)
	require.True(w, ok)
	at := domain.Position{Partition: n, Offset: offset}
	w.send(school, storetest.Skip(at))
	return at
}

// poisoned sends what two of three of ana's events can be folded of.
func poisoned(w *world) {
	w.send("oak", storetest.Enrol("ana", "7A"),
		storetest.Mark("ana", 1, attendance.Present, storetest.ReasonFail),
		storetest.Mark("ana", 1, attendance.AbsentExcused, ""),
		storetest.Mark("bo", 1, attendance.Present, ""))
	synctest.Wait()
}

func TestP8_ASkippedEventIsFoldedByNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, stop := w.run(w.config())
		poisoned(w)
		at := w.skip("oak", "ana")
		pass(2 * time.Second)
		require.Empty(t, w.parkedSubjects("oak"), "the later events are folded")
		w.requireReferenceButOrder()
		require.Equal(t, "so decided", w.store.Skipped(at.Partition)[at.Offset].Reason)

		// Twice is as good as once, and a skip of what is in the tables takes nothing from them.
		w.send("oak", storetest.Skip(at))
		w.send("elm", storetest.Skip(at))
		synctest.Wait()
		w.requireReferenceButOrder()
		stop()

		// A process whose database was lost meets the event before its skip, and could fold it.
		w.set, w.store = storetest.Set(true), memstore.New()
		_, stop = w.run(w.config())
		pass(2 * time.Second)
		w.requireReference()
		stop()
	})
}

// A skip must not come too late: from the moment that an operator's command has made sure of that,
// nobody folds the event, although the skip is not in the log yet.
func TestP8_WhatIsAboutToBeSkippedIsNotFolded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config()
		fix := breakDecoder(&cfg)
		_, stop := w.run(cfg)
		defer func() { stop() }()
		at := w.send("oak", storetest.Enrol("ana", "7A"))
		synctest.Wait()
		key := projections.SubjectKey{School: "oak", Subject: "ana"}
		_, ok := w.store.RequestSkip(at.Partition, key)
		require.True(t, ok)
		fix()
		w.store.RequestRetry(at.Partition, key)
		pass(10 * time.Minute)
		require.Len(t, w.parkedSubjects("oak"), 1)
		w.send("oak", storetest.Skip(at))
		pass(2 * time.Second)
		require.Empty(t, w.parkedSubjects("oak"))
		w.requireReference()
	})
}

func TestASkipLetsAParkedSchoolGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.maxParked = 3
		_, stop := w.run(w.config())
		defer stop()
		overflow(w)
		w.skip("oak", "pupil-1")
		pass(5 * time.Second)
		require.Len(t, w.parkedSubjects("oak"), 4, "three subjects and the school, from later on")
		require.NotContains(t, w.parkedSubjects("oak"), "pupil-1")
		w.requireReferenceButOrder()
		w.skip("oak", projections.WholeSchool)
		pass(5 * time.Second)
		require.Len(t, w.parkedSubjects("oak"), 3)
		w.requireReferenceButOrder()
	})
}

// A catch-up knows what is skipped up to its target before it begins. What is skipped later, of what
// it has folded, it cannot take back.
func TestP8_ACatchupKnowsWhatIsSkipped(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"in time": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				_, stop := w.run(w.config())
				defer stop()
				poisoned(w)
				n := eventlog.PartitionFor("oak", partitions)
				before := w.store.Position(n)
				w.skip("oak", "ana")
				pass(2 * time.Second)

				shadow := memstore.New()
				cfg := projections.CatchupConfig{Config: w.config(), Partitions: []int32{n}}
				cfg.Set, cfg.Store = storetest.Set(true), shadow
				c, err := projections.NewCatchup(cfg)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- c.Run(ctx) }()
				if late {
					require.NoError(t, c.FoldTo(ctx, map[int32]int64{n: before}))
				}
				err = c.FoldTo(ctx, map[int32]int64{n: w.store.Position(n)})
				if late {
					require.ErrorIs(t, err, projections.ErrSkippedLate)
				} else {
					require.NoError(t, err)
					w.set, w.store = cfg.Set, shadow
					w.requireReference()
				}
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					require.NoError(t, err)
				}
			})
		})
	}
}
