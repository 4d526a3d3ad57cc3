package httpapi

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/singleflight"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/projections/query"
)

// viewer is whoever sends a query, and what of students may be in its result.
type viewer struct {
	bearer access.Bearer
	policy access.Policy
	// inSnapshot says that the scope follows from the directory, which is read in the snapshot of the
	// result: a guardian whose link has just ended sees nothing of afterwards.
	inSnapshot bool
	// private says that the scope is a family's, and shared with nobody. It is made in the snapshot
	// alone, and the result is not cached.
	private bool
	scope   access.Scope
}

// viewer returns the viewer of a query. Results that show no student are the same for all.
func (a *API) viewer(
	ctx context.Context, req *request, q query.Request, today domain.Date, min domain.Position,
) (*viewer, error) {
	v := &viewer{
		bearer: bearerOf(req.bearer), private: req.access == auth.Own,
		scope: access.Everything(),
	}
	if q.Student == "" && !q.Info.ByScope {
		return v, nil
	}
	var err error
	if v.policy, err = a.deps.Policy(ctx, req.school); err != nil {
		return nil, err
	}
	v.scope = access.For(&v.bearer, nil, v.policy)
	v.inSnapshot = access.NeedsDirectory(&v.bearer)
	if v.inSnapshot && !v.private {
		return v, a.lookUp(ctx, v, req.school, q.Student, today, min)
	}
	if !v.private {
		err = v.mayRead(q.Student)
	}
	return v, err
}

func bearerOf(p auth.Principal) access.Bearer {
	return access.Bearer{Subject: p.Subject, School: p.School, Roles: p.Roles}
}

// mayRead reports whether a student is in the scope at all; "" is a query about no single one.
func (v *viewer) mayRead(student string) error {
	if student == "" || v.scope.Of(student).Has(access.Names) {
		return nil
	}
	return query.ErrDenied
}

// lookUp makes the scope of a viewer whose results are cached, from what the directory said a moment
// ago. Who is refused is looked up again.
func (a *API) lookUp(
	ctx context.Context, v *viewer, school, student string, today domain.Date, min domain.Position,
) error {
	for _, age := range [...]time.Duration{directoryAge, 0} {
		d, err := a.directories.get(ctx, directoryKey{school, v.bearer.Subject}, age, today,
			min.Offset, func(ctx context.Context) (directoryEntry, error) {
				return a.readDirectory(ctx, school, v, today, min)
			})
		if err != nil {
			return err
		}
		v.scope = access.For(&v.bearer, &d, v.policy)
		if err := v.mayRead(student); err == nil || age == 0 {
			return err
		}
	}
	return nil
}

// readDirectory reads what links a viewer with classes and students, at a position or later.
func (a *API) readDirectory(
	ctx context.Context, school string, v *viewer, today domain.Date, min domain.Position,
) (e directoryEntry, err error) {
	if err = a.await(ctx, min); err != nil {
		return e, err
	}
	e.on, e.read = today, time.Now()
	err = a.deps.Tables.Read(ctx, school, func(tx pgx.Tx) error {
		at, _, err := checkpoint.PositionOfTables(ctx, tx, a.deps.Set, min.Partition)
		if err != nil {
			return err
		}
		if at.Offset < min.Offset {
			return notReached(min)
		}
		e.offset = at.Offset
		e.directory, err = a.deps.Directory(ctx, tx, school, v.bearer.Subject, today, v.policy)
		return err
	})
	return e, err
}

// errScopeMoved says that the directory has changed since the scope was made that a result is to be
// cached under.
var errScopeMoved = errors.New("the caller's scope has just changed")

// within makes the scope as of a snapshot.
func (a *API) within(
	ctx context.Context, tx pgx.Tx, v *viewer, scope query.Scope, student string,
) (access.Scope, error) {
	if !v.inSnapshot {
		return v.scope, v.mayRead(student)
	}
	d, err := a.deps.Directory(ctx, tx, scope.School, v.bearer.Subject, scope.Today, v.policy)
	if err != nil {
		return access.Scope{}, err
	}
	now := *v
	now.scope = access.For(&v.bearer, &d, v.policy)
	if !v.private && now.scope.Key() != v.scope.Key() {
		return access.Scope{}, errScopeMoved
	}
	return now.scope, now.mayRead(student)
}

// directoryAge is how old a scope may be under which a cached result is served. It bounds how long
// a right that has ended goes on.
const directoryAge = time.Second

// maxDirectories bounds the memory of the directories; there are a few hundred bytes of each.
const maxDirectories = 10_000

// directories remembers for a moment what links users with classes and students, so that a reader of
// cached results costs no query.
type directories struct {
	flights singleflight.Group
	mu      sync.Mutex
	entries map[directoryKey]directoryEntry
}

type directoryKey struct{ school, user string }

type directoryEntry struct {
	directory access.Directory
	on        domain.Date
	offset    int64 // of the snapshot
	read      time.Time
}

func newDirectories() *directories {
	return &directories{entries: map[directoryKey]directoryEntry{}}
}

// get returns an entry of a day that is not older than an age, and at an offset or later.
func (d *directories) get(
	ctx context.Context, key directoryKey, age time.Duration, on domain.Date, offset int64,
	read func(context.Context) (directoryEntry, error),
) (access.Directory, error) {
	fits := func(e directoryEntry, ok bool) bool { return ok && e.on == on && e.offset >= offset }
	d.mu.Lock()
	e, ok := d.entries[key]
	d.mu.Unlock()
	if fits(e, ok) && time.Since(e.read) < age {
		return e.directory, nil
	}
	if age > 0 && offset < 0 { // requests for a position, or for now, are not served by others' reads
		shared := d.flights.DoChan(key.school+"\x00"+key.user, func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
			defer cancel()
			return read(ctx)
		})
		select {
		case <-ctx.Done():
			return access.Directory{}, ctx.Err()
		case r := <-shared:
			if r.Err != nil {
				return access.Directory{}, r.Err
			}
			e = r.Val.(directoryEntry)
		}
	} else {
		var err error
		if e, err = read(ctx); err != nil {
			return access.Directory{}, err
		}
	}
	d.put(key, e)
	return e.directory, nil
}

func (d *directories) put(key directoryKey, e directoryEntry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.entries) >= maxDirectories {
		for other := range d.entries { // any will do: it is read again when needed
			delete(d.entries, other)
			break
		}
	}
	d.entries[key] = e
}

// forget has an entry read again.
func (d *directories) forget(key directoryKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.entries, key)
}
