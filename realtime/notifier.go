package realtime

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"
)

// Notifier tells the dashboards of all nodes what has changed, at most once in an interval. It belongs to the process
// that folds the projections, which need not be a node itself.
type Notifier struct {
	bus      Bus
	local    func(Changed)
	interval time.Duration
	logger   *slog.Logger
	changes  changeBuffer
}

// NewNotifier tells through a bus, and the hub of this process, if there is one, directly. An interval of 0 is 200 ms.
func NewNotifier(bus Bus, local func(Changed), interval time.Duration, logger *slog.Logger) *Notifier {
	if interval == 0 {
		interval = defaultDashboardInterval
	}
	return &Notifier{bus: bus, local: local, interval: interval, logger: logger}
}

// Notify takes a notice. It never blocks.
func (a *Notifier) Notify(c Changed) {
	if a.local != nil {
		a.local(c)
	}
	a.changes.add(c)
}

// Run sends the notices until ctx ends. One that cannot be sent is lost: the next one says more.
func (a *Notifier) Run(ctx context.Context) error {
	tick := time.NewTicker(a.interval)
	defer tick.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := a.Flush(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			a.logger.WarnContext(ctx, "dashboards of other nodes cannot be told", "error", err)
		}
		failing = err != nil
	}
}

// Flush sends the notices that wait.
func (a *Notifier) Flush(ctx context.Context) error {
	m := message{Kind: kindChanged}
	for target, projections := range a.changes.take() {
		for name, position := range projections {
			m.Changed = append(m.Changed, Changed{School: target.school, Projections: []string{name}, Position: position})
		}
	}
	if len(m.Changed) == 0 {
		return nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return a.bus.Publish(ctx, allNodes, b)
}
