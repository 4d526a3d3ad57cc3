package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
)

// renewal runs the projections only while the live tables were made by this program's version of
// the folds. When its folds are newer, it rebuilds the tables first; processes of the old version
// keep writing the old tables until the swap. When its folds are older, it waits to be replaced.
type renewal struct {
	store  *postgres.ProjectionStore
	shadow postgres.Shadow
	log    *slog.Logger

	mu    sync.Mutex
	state error // why the engine does not run; nil when it does
}

// run runs the engine whenever the tables fit, until ctx ends.
func (r *renewal) run(ctx context.Context, engine func(context.Context) error) error {
	for r.await(ctx) {
		err := engine(ctx)
		if _, ok := errors.AsType[*projections.VersionError](err); !ok {
			return err
		}
	}
	return nil
}

// await returns true once the tables fit, and false if ctx ends first.
func (r *renewal) await(ctx context.Context) bool {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = time.Second, 30*time.Second
	for {
		names, err := r.store.Outdated(ctx)
		if err == nil && len(names) > 0 {
			err = r.rebuild(ctx, names)
		}
		if ctx.Err() != nil {
			return false
		}
		r.set(err)
		if err == nil {
			return true
		}
		delay := pause.NextBackOff()
		r.log.WarnContext(
			ctx, "the tables do not match this version's folds yet", "error", err, "retry_in",
			delay,
		)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return false
		}
	}
}

func (r *renewal) rebuild(ctx context.Context, names []string) error {
	shadow := r.shadow
	shadow.Projections = names
	what := strings.Join(names, ", ")
	shadow.Progress = func(stage string, folded, total int64) {
		r.set(
			fmt.Errorf(
				"rebuilding %s for new folds: %s, %d of %d events", what, stage, folded, total,
			),
		)
	}
	r.log.InfoContext(ctx, "rebuild for new folds", "projections", names)
	done, err := shadow.Rebuild(ctx)
	if err != nil {
		return fmt.Errorf("rebuild %s for new folds: %w", what, err)
	}
	r.log.InfoContext(ctx, "rebuilt", "projections", done.Projections, "events", done.Events,
		"took", done.Took, "pause", done.Pause, "parked", done.Parked)
	if done.NotifyError != nil {
		r.log.WarnContext(ctx, "cached responses may be outdated: cannot notify the cache",
			"error", done.NotifyError)
	}
	return nil
}

func (r *renewal) set(state error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = state
}

func (r *renewal) report() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}
