package imports

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
)

// By is who applies a plan: User is shown with it, and Author is in its events.
type By struct {
	User   string
	Author domain.Author
}

// Apply writes the events of a plan, in order, until [Config.ApplyLimit] after its call: the plan
// that it returns says how far it came, and calling it again goes on from there. So does a call
// after a crash, which may write some events again; they have the same ids, so that readers of the
// log drop them. An import that has been applied stays so.
//
// A plan that is not begun is compared with the tables again. When the difference is another than
// before, nothing is written, and the error is a [*MovedError]; when it asks for consents that are
// not given, a [*GuardError]; when another import of its source is being applied, a [*BusyError];
// when somebody has cancelled it, a [*CancelledError].
func (s *Service) Apply(
	ctx context.Context, school string, by By, id string, given Consents,
) (*Plan, error) {
	until := s.Now().Add(s.ApplyLimit)
	var p *stored
	err := s.Database.AsUser(ctx, school, by.User, func(tx pgx.Tx) (err error) {
		p, err = load(ctx, tx, school, id, s.now(), true)
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.State == Planned {
		if err := s.start(ctx, school, by.User, p, given); err != nil {
			return nil, err
		}
	}
	w := writing{s, school, by, p}
	if err := w.run(ctx, until); err != nil {
		return nil, err
	}
	if p.State == Cancelled {
		return nil, &CancelledError{p.ID, p.CancelledBy}
	}
	return &p.Plan, nil
}

// Cancel ends an import that is not applied. What it has written stays in the log: the package said
// so. The next import of its source is compared with the tables as they are then, and so writes
// what this one has not.
func (s *Service) Cancel(ctx context.Context, school, user, id string) (*Plan, error) {
	var p *stored
	ended := false
	err := s.Database.AsUser(ctx, school, user, func(tx pgx.Tx) error {
		_, _, err := lock(ctx, tx, school, id)
		if err != nil {
			return err
		}
		if p, err = load(ctx, tx, school, id, s.now(), false); err != nil {
			return err
		}
		switch p.State {
		case Cancelled:
			return nil
		case Applied:
			return &AppliedError{id}
		}
		p.State, p.CancelledBy, p.CancelledAt = Cancelled, user, s.now()
		ended = true
		return progress(ctx, tx, school, &p.Plan)
	})
	if err != nil {
		return nil, err
	}
	if ended {
		s.metrics.cancelled.Inc()
	}
	return &p.Plan, nil
}

// start begins to apply a plan, if it still holds and may.
func (s *Service) start(
	ctx context.Context, school, user string, p *stored, given Consents,
) error {
	before, err := s.begun(ctx, school, user, p.Source)
	if err != nil {
		return err
	}
	// As it was made: only the tables may make a difference.
	now, err := s.make(ctx, school, p.packed, making{
		adopt: p.Adopt, now: p.CreatedAt, today: p.On, user: user,
	})
	if err != nil {
		return err
	}
	moved := now.digest != p.digest
	if moved {
		if now, err = s.makeNow(ctx, school, user, p.packed, p.Adopt); err != nil {
			return err
		}
	}
	err = s.Database.AsUser(ctx, school, user, func(tx pgx.Tx) error {
		busy, err := busyWith(ctx, tx, school, p.Source)
		if err != nil {
			return err
		}
		begun, err := begunOf(ctx, tx, school, p.Source)
		if err != nil {
			return err
		}
		other, err := load(ctx, tx, school, p.ID, s.now(), false)
		switch {
		case err != nil:
			return err
		case other.State != Planned: // another request was faster, and what it writes moves the rows
			p.Plan, moved = other.Plan, false
			return nil
		case busy != "":
			return &BusyError{busy}
		case begun != before: // and ended since, so what the plan was compared with is out of date
			return ErrPlanning
		case moved:
			return insert(ctx, tx, school, now)
		}
		if left := given.Refuses(p.Asks); len(left) > 0 {
			return &GuardError{left}
		}
		// Stored before the first event is written: whatever goes on after a crash must write the
		// same.
		p.AppliedBy, p.StartedAt = user, s.now()
		started, err := start(ctx, tx, school, &p.Plan)
		if err != nil || started {
			return err
		}
		return p.reload(ctx, tx, school, s.now())
	})
	if err == nil && moved {
		s.metrics.planned(&now.Plan)
		return &MovedError{&now.Plan}
	}
	return err
}

// begun names the imports of a source that were begun, as they stand.
func (s *Service) begun(ctx context.Context, school, user, source string) (begun string, err error) {
	err = s.Database.AsUser(ctx, school, user, func(tx pgx.Tx) (err error) {
		begun, err = begunOf(ctx, tx, school, source)
		return err
	})
	return begun, err
}
