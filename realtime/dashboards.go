package realtime

import (
	"context"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// Changed is a notice that projections of a school have come to a position.
type Changed struct {
	School      string
	Projections []string
	Position    domain.Position
}

// noticeBoard gathers notices until the dashboards are told, so that many changes are one.
type noticeBoard struct {
	mu      sync.Mutex
	pending map[string]map[string]domain.Position // by school and projection
}

// Changed takes a notice, for this node; an [Announcer] tells all. It never blocks. The dashboards of the school that are open on this node hear of it within
// the interval of the configuration, of the newest position only.
func (h *Hub) Changed(c Changed) {
	h.metrics.coalesced.Add(float64(h.notices.add(c)))
}

// add notes a change and says how many notices it has replaced.
func (b *noticeBoard) add(c Changed) (replaced int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending == nil {
		b.pending = map[string]map[string]domain.Position{}
	}
	of := b.pending[c.School]
	if of == nil {
		of = map[string]domain.Position{}
		b.pending[c.School] = of
	}
	for _, name := range c.Projections {
		known, waiting := of[name]
		if waiting {
			replaced++
		}
		if !waiting || c.Position.Offset >= known.Offset {
			of[name] = c.Position
		}
	}
	return replaced
}

// take empties the board.
func (b *noticeBoard) take() map[string]map[string]domain.Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	pending := b.pending
	b.pending = nil
	return pending
}

// runNotices tells the dashboards.
func (h *Hub) runNotices(ctx context.Context) error {
	tick := time.NewTicker(h.cfg.DashboardInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for name, projections := range h.notices.take() {
			h.tell(name, projections)
		}
	}
}

func (h *Hub) tell(name string, projections map[string]domain.Position) {
	sc := h.school(name)
	if sc == nil {
		return
	}
	sc.mu.Lock()
	if sc.kinds[domain.RoomDashboard] == 0 {
		sc.mu.Unlock()
		return
	}
	if sc.dashboards == nil {
		sc.dashboards = map[string]dashboard{}
	}
	sc.changes++
	var wake []*Session
	for projection, position := range projections {
		sc.dashboards[projection] = dashboard{position, sc.changes}
		r := sc.rooms[domain.Room{Kind: domain.RoomDashboard, ID: projection}]
		if r != nil {
			wake = append(wake, r.sessions...)
		}
	}
	sc.mu.Unlock()
	for _, s := range wake {
		s.rouse()
	}
}
