package realtime

import (
	"context"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// Changed is a notice that projections of a school have come to a position.
type Changed struct {
	School      string // empty: all schools of the position's partition, as a rebuild may have changed any row
	Projections []string
	Position    domain.Position
}

// changeBuffer gathers notices until the dashboards are told, so that many changes are one.
type changeBuffer struct {
	mu      sync.Mutex
	pending map[changeTarget]map[string]domain.Position // by projection
}

// changeTarget is whom a notice is for: a school, or all those of a partition.
type changeTarget struct {
	school    string
	partition int32
}

// Changed takes a notice, for this node; an [Notifier] tells all. It never blocks. The dashboards that are open on this
// node hear of it within the interval of the configuration, of the newest position only.
func (h *Hub) Changed(c Changed) {
	h.metrics.coalesced.Add(float64(h.changes.add(c)))
}

// add notes a change and says how many notices it has replaced.
func (b *changeBuffer) add(c Changed) (replaced int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending == nil {
		b.pending = map[changeTarget]map[string]domain.Position{}
	}
	target := changeTarget{c.School, c.Position.Partition}
	of := b.pending[target]
	if of == nil {
		of = map[string]domain.Position{}
		b.pending[target] = of
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
func (b *changeBuffer) take() map[changeTarget]map[string]domain.Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	pending := b.pending
	b.pending = nil
	return pending
}

// notifyDashboards tells the dashboards.
func (h *Hub) notifyDashboards(ctx context.Context) error {
	tick := time.NewTicker(h.cfg.DashboardInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for target, projections := range h.changes.take() {
			for _, sc := range h.schoolsOf(target) {
				sc.notifyDashboards(projections)
			}
		}
	}
}

// schoolsOf finds those that there is something of on this node.
func (h *Hub) schoolsOf(target changeTarget) []*school {
	if target.school != "" {
		if sc := h.school(target.school); sc != nil {
			return []*school{sc}
		}
		return nil
	}
	var all []*school
	h.eachSchool(func(sc *school) {
		if sc.partition.number == target.partition {
			all = append(all, sc)
		}
	})
	return all
}

// notifyDashboards tells the dashboards of a school.
func (s *school) notifyDashboards(projections map[string]domain.Position) {
	s.mu.Lock()
	if s.kinds[domain.RoomDashboard] == 0 {
		s.mu.Unlock()
		return
	}
	if s.dashboards == nil {
		s.dashboards = map[string]dashboard{}
	}
	s.changes++
	var wake []*Session
	for projection, position := range projections {
		s.dashboards[projection] = dashboard{position, s.changes}
		r := s.rooms[domain.Room{Kind: domain.RoomDashboard, ID: projection}]
		if r != nil {
			wake = append(wake, r.sessions...)
		}
	}
	s.mu.Unlock()
	for _, listener := range wake {
		listener.wake()
	}
}
