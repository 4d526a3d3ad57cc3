package imports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/ingest"
)

// Database runs fn in a transaction about one school: Read on one snapshot of its tables, AsUser to
// change what belongs to it.
type Database interface {
	Read(ctx context.Context, school string, fn func(pgx.Tx) error) error
	AsUser(ctx context.Context, school, user string, fn func(pgx.Tx) error) error
}

// Config is what a [Service] works with. A zero value of those with a default, in
// parentheses, means that; without Metrics nothing is exported.
type Config struct {
	Database   Database
	Writer     ingest.Writer // of events
	Log        eventlog.Inspector
	Partitions int32                 // of the log
	Set        string                // the projections whose tables are compared with
	Positions  *checkpoint.Positions // of that set

	// Today is a school's day, by its clock (the day in UTC).
	Today func(ctx context.Context, school string) (domain.Date, error)

	// EndShare is how many of a school's students, staff or links may end without being asked for
	// (0.1, a tenth).
	EndShare   float64
	WaitLimit  time.Duration    // for the tables to be at the end of the log (10 s)
	ApplyLimit time.Duration    // that one call of Apply writes events for (15 s)
	Now        func() time.Time // (time.Now)
	Metrics    prometheus.Registerer
}

// Bounds of a process. Each upload needs memory for a package, and each plan for a school.
const (
	MaxPacked  = 16 << 20         // bytes of a package as it comes, compressed
	maxUploads = 4                // at the same time, of different schools
	planLimit  = 20 * time.Second // that a plan waits for its turn
)

// Service makes plans and applies them.
type Service struct {
	Config
	metrics  metrics
	planning chan struct{} // a token for the plan that is being made

	mu      sync.Mutex
	uploads map[string]bool // schools that have one
}

// New returns a service.
func New(c Config) *Service {
	c.EndShare = cmp.Or(c.EndShare, 0.1)
	c.WaitLimit = cmp.Or(c.WaitLimit, 10*time.Second)
	c.ApplyLimit = cmp.Or(c.ApplyLimit, 15*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Today == nil {
		c.Today = func(context.Context, string) (domain.Date, error) {
			return domain.DateOf(c.Now().UTC()), nil
		}
	}
	return &Service{
		Config: c, metrics: newMetrics(c.Metrics), planning: make(chan struct{}, 1),
		uploads: make(map[string]bool),
	}
}

// Reserve takes the memory of a package for a school, until release is called: callers of Plan and
// Apply need it, and of Show for the events. It fails with [ErrPlanning] at once: a school has one
// at a time, and none can keep the others from theirs.
func (s *Service) Reserve(school string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[school] || len(s.uploads) == maxUploads {
		return nil, ErrPlanning
	}
	s.uploads[school] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.uploads, school)
	}, nil
}

// Errors of a service. They change nothing.
var (
	// ErrUnknown says that there is no such import, or no longer.
	ErrUnknown = errors.New("there is no such import, or its plan has expired")
	// ErrPlanning says that this process works on as many plans as it may, or on one of the school.
	ErrPlanning = errors.New("another import of the school, or others, are being worked on")
	// ErrParked says that the tables lack all later events of the school, so that nothing can be
	// compared with them.
	ErrParked = errors.New("the school is parked: its tables lack what has happened since, until an " +
		"operator has decided about its parked subjects")
)

// BehindError says that the tables have not come to the end of the log in time.
type BehindError struct{ At domain.Position }

func (e *BehindError) Error() string {
	return fmt.Sprintf("the tables have not reached position %s, the end of the log, yet", e.At)
}

// BusyError says that another import of the school and source is being applied.
type BusyError struct{ ID string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("import %s of this source is being applied: apply it again to finish it, or "+
		"cancel it", e.ID)
}

// CancelledError says that somebody has cancelled an import.
type CancelledError struct{ ID, By string }

func (e *CancelledError) Error() string {
	return fmt.Sprintf("import %s was cancelled by %q: what it had written stays, and importing the "+
		"package again writes the rest", e.ID, e.By)
}

// AppliedError says that an import cannot be cancelled, as it is applied.
type AppliedError struct{ ID string }

func (e *AppliedError) Error() string {
	return fmt.Sprintf("import %s is applied, and what it wrote stays: import the package that "+
		"should hold in its place", e.ID)
}

// MovedError says that rows have changed since a plan was made, and holds the plan that was made in
// its place.
type MovedError struct{ Plan *Plan }

func (e *MovedError) Error() string {
	return "rows of the tables have changed since this plan was made; the new plan is " + e.Plan.ID
}

// GuardError says which consents a plan asks for that were not given.
type GuardError struct{ Asks []Ask }

func (e *GuardError) Error() string {
	ask := e.Asks[0]
	return fmt.Sprintf("the import would end %d of %d (%s): %s; it needs the consent %s with this "+
		"number", ask.Count, ask.Held, ask.Consent, ask.Reason, ask.Consent)
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// Plan compares a package, compressed with gzip, with the tables at the end of the school's log,
// and stores what the difference is. The same package against the same tables is the same plan.
func (s *Service) Plan(
	ctx context.Context, school, user string, packed []byte, adopt bool,
) (*Plan, error) {
	made, err := s.makeNow(ctx, school, user, packed, adopt)
	if err != nil {
		return nil, err
	}
	return &made.Plan, s.store(ctx, school, user, made)
}

// store stores a plan that was made.
func (s *Service) store(ctx context.Context, school, user string, made *stored) error {
	err := s.Database.AsUser(ctx, school, user, func(tx pgx.Tx) error {
		return insert(ctx, tx, school, made)
	})
	if err == nil {
		s.metrics.planned(&made.Plan)
	}
	return err
}

// makeNow makes a plan for the school's day.
func (s *Service) makeNow(
	ctx context.Context, school, user string, packed []byte, adopt bool,
) (*stored, error) {
	today, err := s.Today(ctx, school)
	if err != nil {
		return nil, err
	}
	began := s.Now()
	made, err := s.make(ctx, school, packed, making{
		adopt: adopt, now: s.now(), today: today, user: user,
	})
	if err == nil {
		s.metrics.planning.Observe(s.Now().Sub(began).Seconds())
	}
	return made, err
}

// make makes a plan, one at a time.
func (s *Service) make(
	ctx context.Context, school string, packed []byte, m making,
) (made *stored, err error) {
	turn := time.NewTimer(planLimit)
	defer turn.Stop()
	select {
	case s.planning <- struct{}{}:
		defer func() { <-s.planning }()
	case <-turn.C:
		return nil, ErrPlanning
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	m.school, m.packed, m.share = school, packed, s.EndShare
	if err := m.read(); err != nil {
		return nil, err
	}
	end, err := s.awaitEnd(ctx, school)
	if err != nil {
		return nil, err
	}
	err = s.Database.Read(ctx, school, func(tx pgx.Tx) error {
		at, err := checkpoint.Position(ctx, tx, s.Set, end.Partition)
		if err != nil {
			return err
		}
		if at.Offset < end.Offset { // the snapshot is of a standby that lags behind
			return &BehindError{end}
		}
		made, err = m.compare(at, &snapshot{ctx, tx, school})
		return err
	})
	return made, err
}

// awaitEnd waits until the tables hold all that the school's partition of the log has now.
func (s *Service) awaitEnd(ctx context.Context, school string) (domain.Position, error) {
	end := domain.Position{Partition: eventlog.PartitionFor(school, s.Partitions)}
	_, next, err := s.Log.Bounds(ctx, end.Partition)
	if err != nil {
		return end, fmt.Errorf("find the end of the log: %w", err)
	}
	end.Offset = next - 1
	if end.Offset < 0 {
		return end, nil
	}
	limited, cancel := context.WithTimeout(ctx, s.WaitLimit)
	defer cancel()
	if err := s.Positions.Await(limited, end); err != nil && ctx.Err() == nil {
		return end, &BehindError{end}
	}
	return end, ctx.Err()
}

// List returns a school's imports in a state, or in all when it is empty, the newest first.
func (s *Service) List(
	ctx context.Context, school, user string, limit int, state State,
) (plans []Plan, err error) {
	err = s.Database.AsUser(ctx, school, user, func(tx pgx.Tx) (err error) {
		plans, err = listPlans(ctx, tx, school, s.now(), limit, state)
		return err
	})
	return plans, err
}

// Show returns an import, with the events that it makes as NDJSON when they are asked for and not
// all written yet.
func (s *Service) Show(
	ctx context.Context, school, user, id string, withEvents bool,
) (plan *Plan, events []byte, err error) {
	var p *stored
	err = s.Database.AsUser(ctx, school, user, func(tx pgx.Tx) (err error) {
		p, err = load(ctx, tx, school, id, s.now(), withEvents)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if withEvents && (p.State == Planned || p.State == Applying) {
		events, err = unpack(p.records)
	}
	return &p.Plan, events, err
}
