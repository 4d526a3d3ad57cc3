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

// Changed takes a notice, for this node; [Hub.Tell] is for all. It never blocks. The dashboards of the school that are open on this node hear of it within
// the interval of the configuration, of the newest position only.
func (h *Hub) Changed(c Changed) {
	h.notices.mu.Lock()
	defer h.notices.mu.Unlock()
	if h.notices.pending == nil {
		h.notices.pending = map[string]map[string]domain.Position{}
	}
	of := h.notices.pending[c.School]
	if of == nil {
		of = map[string]domain.Position{}
		h.notices.pending[c.School] = of
	}
	for _, name := range c.Projections {
		if _, waiting := of[name]; waiting {
			h.metrics.coalesced.Inc()
		}
		if c.Position.Offset >= of[name].Offset {
			of[name] = c.Position
		}
	}
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
		h.notices.mu.Lock()
		pending := h.notices.pending
		h.notices.pending = nil
		h.notices.mu.Unlock()
		for name, projections := range pending {
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
