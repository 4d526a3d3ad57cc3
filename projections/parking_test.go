package projections_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// parkedSubjects returns what is parked for a school.
func (w *world) parkedSubjects(school string) map[string]projections.ParkedSubject {
	subjects, err := w.store.Parked(w.Context(), eventlog.PartitionFor(school, partitions))
	require.NoError(w, err)
	parked := map[string]projections.ParkedSubject{}
	for _, u := range subjects {
		parked[u.Subject] = u
	}
	return parked
}

func TestP9_FailingEventsParkWithTheLaterOnesOfTheirSubject(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{storetest.ReasonFail, storetest.ReasonPanic} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var logged bytes.Buffer
			cfg := w.config()
			cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
			_, stop := w.run(cfg)
			w.send("oak",
				storetest.Enrol("ana", "7A"), storetest.Enrol("bo", "7A"),
				storetest.Mark("ana", 1, attendance.Present, reason),
				storetest.Mark("ana", 2, attendance.Late, ""),
				storetest.Mark("bo", 1, attendance.Present, ""))
			w.send("elm", storetest.Mark("ana", 1, attendance.Present, ""))
			synctest.Wait()
			w.requireReference() // P4: nothing of the event is in any table

			parked := w.parkedSubjects("oak")
			require.Len(t, parked, 1)
			require.Equal(t, 1, parked["ana"].Attempts)
			require.NotContains(t, parked["ana"].Reason, "goroutine", "the stack is for the log")
			require.Empty(t, w.parkedSubjects("elm"))
			stop()
			if reason == storetest.ReasonPanic {
				require.Contains(t, parked["ana"].Reason, "panicked: panicking on purpose")
				require.Contains(t, logged.String(), "storetest.folds.every", "the stack")
			}
		})
	}
}

// A record that nobody can use belongs to no subject: it is passed over and reported, and parks
// nothing, however many there are.
func TestP9_UnusableRecordsArePassedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, stop := w.run(w.config())
		defer stop()
		w.sendRecord("oak", ofType(900, "schoolbell.attendance.marked.v999"))
		w.sendRecord("oak", ofType(901, "com.example.marked.v1"))
		w.sendRecord("oak", eventlog.Record{
			Value:   []byte("\xff\x00{"),
			Headers: []eventlog.Header{{Key: "\xfe", Value: []byte{0}}},
		})
		w.sendRecord("sch\x00ool\xff", eventlog.Record{})
		for range 1001 {
			w.sendRecord("oak", eventlog.Record{Value: []byte(`{"hello":1}`)})
		}
		w.send("oak", storetest.Mark("bo", 1, attendance.Present, ""),
			storetest.Mark("ana", 2, attendance.Present, ""))
		synctest.Wait()
		w.requireReference()
		require.Len(t, w.parkedSubjects("oak"), 1, "a newer program can use this one")
		require.Contains(t, w.parkedSubjects("oak")["ana"].Reason, "v999")
		require.Len(t, w.store.Unusable(eventlog.PartitionFor("oak", partitions)), 1003)
	})
}

// ofType is a mark that says it is of another type.
func ofType(n int, eventType string) eventlog.Record {
	rec := storetest.Record(storetest.Event("oak", n,
		storetest.Mark("ana", 1, attendance.Present, "")))
	for i, h := range rec.Headers {
		if h.Key == eventlog.HeaderType {
			rec.Headers[i].Value = []byte(eventType)
		}
	}
	return rec
}

// What an earlier version of the program parked, because it did not pass over such records, is
// released and reported.
func TestP9_UnusableRecordsThatAreParkedAreReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config()
		decode := cfg.Decode
		cfg.Decode = func(rec eventlog.Record) (*domain.Envelope, error) {
			e, err := decode(rec)
			if err != nil {
				err = errors.New(err.Error())
			}
			return e, err
		}
		_, stop := w.run(cfg)
		w.sendRecord("oak", ofType(900, "com.example.marked.v1"))
		w.send("oak", storetest.Mark("ana", 2, attendance.Present, ""))
		synctest.Wait()
		require.Len(t, w.parkedSubjects("oak"), 1)
		stop()

		cfg = w.config()
		cfg.Build = "the next one"
		_, stop = w.run(cfg)
		defer stop()
		pass(2 * time.Second)
		w.requireReference()
		require.Empty(t, w.parkedSubjects("oak"))
		require.Len(t, w.store.Unusable(eventlog.PartitionFor("oak", partitions)), 1)
	})
}

func TestP2_RecordInAnotherPartitionIsPassedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config()
		cfg.Log = misplacing{w.log}
		_, stop := w.run(cfg)
		defer stop()
		w.send("oak", storetest.Enrol("ana", "7A"))
		synctest.Wait()
		n := eventlog.PartitionFor("oak", partitions)
		require.Len(t, w.store.Unusable(n), 1)
		require.EqualValues(t, 1, w.store.Position(n))
		subjects, err := w.store.Parked(t.Context(), n)
		require.NoError(t, err)
		require.Empty(t, subjects)
		got, err := w.store.Dump()
		require.NoError(t, err)
		require.Empty(t, got)
	})
}

// misplacing is a log in which all records claim to be of a school that belongs elsewhere.
type misplacing struct{ projections.Log }

func (m misplacing) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (eventlog.Batch, error) {
	b, err := m.Log.Fetch(ctx, partition, offset, maxBytes, maxWait)
	for i := range b.Records {
		other := storetest.Record(storetest.Event(awayFrom(partition), 1,
			storetest.Enrol("ana", "7A")))
		other.Position = b.Records[i].Position
		b.Records[i] = other
	}
	return b, err
}

func awayFrom(partition int32) string {
	for i := 0; ; i++ {
		if school := fmt.Sprintf("elm-%d", i); eventlog.PartitionFor(school,
			partitions) != partition {
			return school
		}
	}
}

func TestParkedSubjectsAreRetried(t *testing.T) {
	t.Parallel()
	poison := func(w *world) {
		w.send("oak", storetest.Enrol("ana", "7A"),
			storetest.Mark("ana", 1, attendance.Present, storetest.ReasonFail),
			storetest.Mark("ana", 1, attendance.AbsentExcused, ""),
			storetest.Mark("bo", 1, attendance.Present, ""))
		synctest.Wait()
	}
	t.Run("when the folds have changed", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			_, stop := w.run(w.config())
			poison(w)
			stop()
			w.set = storetest.Set(true)
			_, stop = w.run(w.config())
			defer stop()
			synctest.Wait()
			require.Empty(t, w.parkedSubjects("oak"))
			w.requireReferenceButOrder()
		})
	})
	t.Run("on command", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			_, stop := w.run(w.config())
			defer stop()
			poison(w)
			w.store.RequestRetry(eventlog.PartitionFor("oak", partitions),
				projections.SubjectKey{School: "oak", Subject: "ana"})
			pass(2 * time.Second)
			require.Equal(t, 2, w.parkedSubjects("oak")["ana"].Attempts)
			require.False(t, w.parkedSubjects("oak")["ana"].RetryRequested)
			pass(2 * time.Second)
			require.Equal(t, 2, w.parkedSubjects("oak")["ana"].Attempts, "once")
		})
	})
	t.Run("on schedule, at growing distances", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config()
			cfg.ParkedRetry, cfg.ParkedRetryMax = time.Minute, 5*time.Minute
			_, stop := w.run(cfg)
			defer stop()
			poison(w)
			for i, minutes := range []int{1, 2, 4, 5, 5} {
				pass(time.Duration(minutes)*time.Minute - 5*time.Second)
				require.Equal(t, i+1, w.parkedSubjects("oak")["ana"].Attempts)
				pass(5 * time.Second)
				require.Equal(t, i+2, w.parkedSubjects("oak")["ana"].Attempts)
			}
		})
	})
	t.Run("until the first that fails", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config()
			broken := true
			cfg.Decode = func(rec eventlog.Record) (*domain.Envelope, error) {
				e, err := w.config().Decode(rec)
				if err == nil && broken && rec.Position.Offset == 1 {
					err = fmt.Errorf("decoder is too old")
				}
				return e, err
			}
			_, stop := w.run(cfg)
			defer stop()
			w.send("oak", storetest.Enrol("ana", "7A"),
				storetest.Mark("ana", 1, attendance.Present, ""),
				storetest.Mark("ana", 2, attendance.Present, storetest.ReasonFail),
				storetest.Mark("ana", 3, attendance.Present, ""))
			synctest.Wait()
			require.EqualValues(t, 1, w.parkedSubjects("oak")["ana"].FirstOffset)
			broken = false
			w.store.RequestRetry(eventlog.PartitionFor("oak", partitions),
				projections.SubjectKey{School: "oak", Subject: "ana"})
			pass(2 * time.Second)
			require.EqualValues(t, 2, w.parkedSubjects("oak")["ana"].FirstOffset)
			w.requireReference()
		})
	})
}

// breakDecoder makes a configuration's decoder refuse every event until it is fixed.
func breakDecoder(cfg *projections.Config) (fix func()) {
	decode, fixed := cfg.Decode, false
	cfg.Decode = func(rec eventlog.Record) (*domain.Envelope, error) {
		e, err := decode(rec)
		if err == nil && !fixed {
			err = errors.New("decoder is broken")
		}
		return e, err
	}
	return func() { fixed = true }
}

// neighbour returns the name of another school in the same partition.
func neighbour(school string) string {
	for i := 0; ; i++ {
		if other := fmt.Sprint("neighbour-", i); eventlog.PartitionFor(other,
			partitions) == eventlog.PartitionFor(school, partitions) {
			return other
		}
	}
}

// overflow parks more subjects of oak than three, and then sends what oak could fold.
func overflow(w *world) {
	for i := range 5 {
		pupil := fmt.Sprint("pupil-", i)
		w.send("oak", storetest.Enrol(pupil, "7A"),
			storetest.Mark(pupil, 1, attendance.Present, storetest.ReasonFail),
			storetest.Mark(pupil, 1, attendance.AbsentExcused, ""))
	}
	w.send("oak", storetest.Enrol("bo", "7A"), storetest.Mark("pupil-1", 2, attendance.Late, ""))
	w.send(neighbour("oak"), storetest.Enrol("cy", "7A"))
	synctest.Wait()
}

func TestP11_TooManyParkedSubjectsParkTheirSchoolAndNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.maxParked = 3
		e, stop := w.run(w.config())
		overflow(w)
		n := eventlog.PartitionFor("oak", partitions)
		status := e.Status()[n]
		require.Equal(t, projections.Running, status.State)
		require.Zero(t, status.Lag)
		require.Equal(t, 3, status.Parked)
		require.Equal(t, 1, status.ParkedSchools)
		require.Contains(t, w.parkedSubjects("oak")[projections.WholeSchool].Reason,
			"3 parked subjects, which is the limit")
		w.requireReference()
		got, err := w.store.Dump()
		require.NoError(t, err)
		require.Contains(t, got["test_pupils"], neighbour("oak")+" | cy")
		require.NotContains(t, got["test_pupils"], "oak | bo")

		// A neighbour that parks a subject has the rest of its own limit.
		w.send(neighbour("oak"), storetest.Enrol("di", "7A"),
			storetest.Mark("di", 1, attendance.Present, storetest.ReasonFail),
			storetest.Enrol("ed", "7A"))
		synctest.Wait()
		require.Equal(t, 1, e.Status()[n].ParkedSchools)
		require.Equal(t, 4, e.Status()[n].Parked)
		w.requireReference()

		// Neither retries nor another process change what is parked.
		pass(10 * time.Minute)
		w.requireReference()
		stop()
		_, stop = w.run(w.config())
		defer stop()
		w.send("oak", storetest.Enrol("di", "7A"))
		synctest.Wait()
		w.requireReference()
	})
}

func TestAParkedSchoolIsReleasedInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.maxParked = 3
		_, stop := w.run(w.config())
		overflow(w)
		stop()
		w.set = storetest.Set(true)
		_, stop = w.run(w.config())
		defer stop()
		pass(5 * time.Second)
		require.Empty(t, w.parkedSubjects("oak"))
		w.requireReferenceButOrder()
	})
	// With room for another subject, the school's events go on up to the next one that needs more.
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.maxParked = 3
		_, stop := w.run(w.config())
		overflow(w)
		stop()
		w.maxParked = 4
		_, stop = w.run(w.config())
		defer stop()
		pass(5 * time.Second)
		require.Len(t, w.parkedSubjects("oak"), 5)
		w.requireReference()
	})
}

func TestP9_RowsThatTheStoreRefusesParkAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, stop := w.run(w.config())
		defer stop()
		for i := range 100 {
			reason := ""
			if i == 37 || i == 38 {
				reason = storetest.ReasonNUL
			}
			w.send("oak", storetest.Mark(fmt.Sprint("pupil-", i), 1, attendance.Present, reason))
		}
		pass(time.Minute)
		require.Equal(t, map[string]int64{"pupil-37": 37, "pupil-38": 38},
			firstOffsets(w.parkedSubjects("oak")))
		got, err := w.store.Dump()
		require.NoError(t, err)
		require.Len(t, got["test_journal"], 98)
	})
}

func firstOffsets(parked map[string]projections.ParkedSubject) map[string]int64 {
	first := map[string]int64{}
	for name, u := range parked {
		first[name] = u.FirstOffset
	}
	return first
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, stop := w.run(w.config())
		at := w.send("oak", storetest.Enrol("ana", "7A"))
		synctest.Wait()
		stop()
		before, err := w.store.Dump()
		require.NoError(t, err)

		w.send("oak", storetest.Enrol("bo", "7A"), storetest.Enrol("cy", "7A"))
		w.log.Truncate(at.Partition, 2)
		e, stop := w.run(w.config())
		synctest.Wait()
		require.Equal(t, projections.Refused, e.Status()[at.Partition].State)
		require.Contains(t, e.Status()[at.Partition].Reason,
			"is to continue at offset 1, but the log now begins at 2")
		require.Equal(t, projections.Running, e.Status()[(at.Partition+1)%partitions].State,
			"the others continue")
		stop()

		w.log.Recreate()
		w.log = w.log.Open()
		e, stop = w.run(w.config())
		synctest.Wait()
		require.Equal(t, projections.Refused, e.Status()[at.Partition].State)
		require.Contains(t, e.Status()[at.Partition].Reason,
			"was folded from the topic with id memory-1, and the topic now has id memory-2")
		stop()
		after, err := w.store.Dump()
		require.NoError(t, err)
		require.Equal(t, before, after)
	})
}

// Kept answers about a school go out of date when one of its subjects is parked, and when it is
// released, which happens without the position moving: then the tables tell.
func TestParkingAndReleaseAreChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := newNotes(false)
		cfg := w.config()
		cfg.Notifiers = []projections.Notifier{n}
		fix := breakDecoder(&cfg)
		_, stop := w.run(cfg)
		defer stop()
		at := w.send("oak", storetest.Enrol("ana", "7A"))
		synctest.Wait()
		require.Equal(t, []projections.Change{{
			School:  "oak",
			Offsets: []int64{at.Offset, at.Offset, at.Offset},
		}}, n.changes)

		fix()
		n.changes = nil
		w.store.RequestRetry(at.Partition, projections.SubjectKey{School: "oak", Subject: "ana"})
		pass(2 * time.Second)
		after := at.Offset + 1 // later than any answer that has been read so far
		require.Equal(t,
			[]projections.Change{{
				School: "oak", Offsets: []int64{after, after, after}, Tables: 2,
			}}, n.changes)
		require.Equal(t, at.Offset, n.latest[at.Partition])
		w.requireReference()
	})
}
