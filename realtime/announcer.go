package realtime

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"
)

// Announcer tells the dashboards of all nodes what has changed, at most once in an interval. It belongs to the process
// that folds the projections, which need not be a node itself.
type Announcer struct {
	bus      Bus
	local    func(Changed)
	interval time.Duration
	logger   *slog.Logger
	board    noticeBoard
}

// NewAnnouncer tells through a bus, and the hub of this process, if there is one, directly. An interval of 0 is 200 ms.
func NewAnnouncer(bus Bus, local func(Changed), interval time.Duration, logger *slog.Logger) *Announcer {
	if interval == 0 {
		interval = defaultDashboardInterval
	}
	return &Announcer{bus: bus, local: local, interval: interval, logger: logger}
}

// Tell takes a notice. It never blocks.
func (a *Announcer) Tell(c Changed) {
	if a.local != nil {
		a.local(c)
	}
	a.board.add(c)
}

// Run sends the notices until ctx ends. One that cannot be sent is lost: the next one says more.
func (a *Announcer) Run(ctx context.Context) error {
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
func (a *Announcer) Flush(ctx context.Context) error {
	m := message{Kind: sayChanged}
	for whose, projections := range a.board.take() {
		for name, position := range projections {
			m.Changed = append(m.Changed, Changed{School: whose.school, Projections: []string{name}, Position: position})
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
