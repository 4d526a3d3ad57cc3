package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
)

// renewal sees to it that the live tables are those of this program's folds before it folds into them. Where its folds are
// newer it rebuilds; older processes go on with the old tables until it is done. Where they are older it waits for a newer
// process to take its place.
type renewal struct {
	store  *postgres.ProjectionStore
	shadow postgres.Shadow
	log    *slog.Logger

	mu    sync.Mutex
	state error // nil when there is nothing to do
}

const (
	renewalLeast = time.Second
	renewalMost  = 30 * time.Second
)

// run runs the engine whenever the tables are its own, until ctx ends.
func (r *renewal) run(ctx context.Context, engine func(context.Context) error) error {
	for r.await(ctx) {
		err := engine(ctx)
		if _, ok := errors.AsType[*projections.VersionError](err); !ok {
			return err
		}
	}
	return nil
}

// await returns true when the tables fit, and false when ctx ends before.
func (r *renewal) await(ctx context.Context) bool {
	for delay := renewalLeast; ; delay = min(2*delay, renewalMost) {
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
		r.log.WarnContext(ctx, "the tables are not for this program's folds yet", "error", err, "again_in", delay)
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
		r.set(fmt.Errorf("rebuilding %s for new folds: %s, %d of %d events", what, stage, folded, total))
	}
	r.log.InfoContext(ctx, "rebuild for new folds", "projections", names)
	done, err := shadow.Rebuild(ctx)
	if err != nil {
		return fmt.Errorf("rebuild %s for new folds: %w", what, err)
	}
	r.log.InfoContext(ctx, "rebuilt", "projections", done.Projections, "events", done.Events, "took", done.Took, "pause", done.Pause,
		"parked", done.Parked)
	if done.NotifyError != nil {
		r.log.WarnContext(ctx, "cannot tell the cache of the rebuild", "error", done.NotifyError)
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
