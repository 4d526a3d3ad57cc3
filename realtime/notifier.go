package realtime

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"
)

// Notifier sends changes of projections to the dashboards of all nodes, at most once per interval.
// It runs in the process that folds the projections, which need not serve live connections itself.
type Notifier struct {
	bus      Bus
	local    func(Changed)
	interval time.Duration
	logger   *slog.Logger
	changes  changeBuffer
}

// NewNotifier notifies other nodes through a bus and, if local is not nil, the hub of this process
// directly. An interval of 0 means 200 ms.
func NewNotifier(
	bus Bus, local func(Changed), interval time.Duration, logger *slog.Logger,
) *Notifier {
	interval = cmp.Or(interval, defaultDashboardInterval)
	return &Notifier{bus: bus, local: local, interval: interval, logger: logger}
}

// Notify takes a change. It never blocks, so that folding does not depend on the bus.
func (n *Notifier) Notify(c Changed) {
	if n.local != nil {
		n.local(c)
	}
	n.changes.add(c)
}

// Run sends changes until ctx ends. A change that cannot be sent is dropped: a later one of the
// same projection carries a newer position and replaces it.
func (n *Notifier) Run(ctx context.Context) error {
	_ = every(ctx, n.interval, func() {
		if err := n.Flush(ctx); err != nil && ctx.Err() == nil {
			n.logger.WarnContext(ctx, "notify dashboards of other nodes", "error", err)
		}
	})
	return nil
}

// Flush sends the pending changes now.
func (n *Notifier) Flush(ctx context.Context) error {
	m := message{Kind: kindChanged}
	for target, projections := range n.changes.take() {
		for name, position := range projections {
			c := Changed{School: target.school, Projections: []string{name}, Position: position}
			m.Changed = append(m.Changed, c)
		}
	}
	if len(m.Changed) == 0 {
		return nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return n.bus.Publish(ctx, allNodes, b)
}
