package httpapi

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/semaphore"
)

const (
	// turnLimit is how long a read waits for its turn: long enough for a dashboard that asks for
	// everything at once, short enough for a person who waits.
	turnLimit = time.Second
	// maxWaitingReads is how many reads of a school may wait; with more the last of them could not
	// have a turn in time.
	maxWaitingReads = 64
)

// errManyReads is the cause of the 429 that a school's reads get while too many of them run.
var errManyReads = errors.New("too many reads of this school at the same time")

// reads lets a few reads of each school run at a time. What a school reads can be as expensive as
// it likes: it has only its own share of the database, or of the log, to wait for.
type reads struct {
	perSchool int64

	mu      sync.Mutex
	schools map[string]*turns
}

// turns are the reads of one school. They are dropped with the last one.
type turns struct {
	running *semaphore.Weighted
	here    int64 // running and waiting
}

func newReads(perSchool int) *reads {
	return &reads{perSchool: int64(perSchool), schools: map[string]*turns{}}
}

// enter waits for a turn of the school; leave must follow if it returns nil.
func (r *reads) enter(ctx context.Context, school string) error {
	t := r.join(school)
	if t == nil {
		return manyReads()
	}
	limited, cancel := context.WithTimeout(ctx, turnLimit)
	defer cancel()
	if err := t.running.Acquire(limited, 1); err != nil {
		r.part(school)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return manyReads()
	}
	return nil
}

func (r *reads) join(school string) *turns {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.schools[school]
	if t == nil {
		t = &turns{running: semaphore.NewWeighted(r.perSchool)}
		r.schools[school] = t
	}
	if t.here >= r.perSchool+maxWaitingReads {
		return nil
	}
	t.here++
	return t
}

func (r *reads) part(school string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.schools[school]; t.here > 1 {
		t.here--
	} else {
		delete(r.schools, school)
	}
}

func (r *reads) leave(school string) {
	r.mu.Lock()
	t := r.schools[school]
	r.mu.Unlock()
	t.running.Release(1)
	r.part(school)
}

func manyReads() error {
	p := tooMany(time.Second, errManyReads.Error())
	p.cause = errManyReads
	return p
}

// sharedTables are tables that the schools read in turn.
type sharedTables struct {
	Tables
	reads *reads
}

// Read implements [Tables].
func (t sharedTables) Read(ctx context.Context, school string, fn func(pgx.Tx) error) error {
	return t.inTurn(ctx, school, func() error { return t.Tables.Read(ctx, school, fn) })
}

// AsUser implements [Tables].
func (t sharedTables) AsUser(
	ctx context.Context, school, user string, fn func(pgx.Tx) error,
) error {
	return t.inTurn(ctx, school, func() error { return t.Tables.AsUser(ctx, school, user, fn) })
}

func (t sharedTables) inTurn(ctx context.Context, school string, do func() error) error {
	if err := t.reads.enter(ctx, school); err != nil {
		return err
	}
	defer t.reads.leave(school)
	return do()
}
