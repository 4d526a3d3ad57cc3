package realtime

import (
	"context"
	"sync"

	"github.com/schoolbell/schoolbell/domain"
)

// Changed says that projections of a school have reached a position.
type Changed struct {
	// School is empty for all schools of the position's partition: a rebuild may have changed any
	// row.
	School      string
	Projections []string
	Position    domain.Position
}

// changeBuffer collects changes until the dashboards are notified, so that a burst of commits
// becomes one notification.
type changeBuffer struct {
	mu      sync.Mutex
	pending map[changeTarget]map[string]domain.Position // by projection
}

// changeTarget is the recipient of a change: one school, or all schools of a partition.
type changeTarget struct {
	school    string
	partition int32
}

// Changed takes a change for this node; a [Notifier] sends it to all. It never blocks. The
// dashboards that are open on this node are notified within Config.DashboardInterval, of the newest
// position only.
func (h *Hub) Changed(c Changed) {
	h.metrics.coalesced.Add(float64(h.changes.add(c)))
}

// add adds a change and returns how many pending ones it has replaced.
func (b *changeBuffer) add(c Changed) (replaced int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending == nil {
		b.pending = map[changeTarget]map[string]domain.Position{}
	}
	target := changeTarget{c.School, c.Position.Partition}
	projections := b.pending[target]
	if projections == nil {
		projections = map[string]domain.Position{}
		b.pending[target] = projections
	}
	for _, name := range c.Projections {
		previous, pending := projections[name]
		if pending {
			replaced++
		}
		if !pending || c.Position.Offset >= previous.Offset {
			projections[name] = c.Position
		}
	}
	return replaced
}

// take empties the buffer.
func (b *changeBuffer) take() map[changeTarget]map[string]domain.Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	pending := b.pending
	b.pending = nil
	return pending
}

// notifyDashboards notifies the dashboards on this node until ctx ends.
func (h *Hub) notifyDashboards(ctx context.Context) error {
	return every(ctx, h.cfg.DashboardInterval, func() {
		for target, projections := range h.changes.take() {
			for _, sc := range h.schoolsOf(target) {
				sc.notifyDashboards(projections)
			}
		}
	})
}

// schoolsOf finds the schools of a target that are in use on this node.
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

// notifyDashboards notes the changes and wakes the sessions in the projections' dashboard rooms.
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
	for _, session := range wake {
		session.wake()
	}
}

// shown returns the projections whose dashboards are open on this node, at the end of what it has
// read of the log. There is none to wait for before the first event.
func (s *school) shown() map[string]domain.Position {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at := domain.Position{Partition: s.partition.number, Offset: s.head()}
	projections := map[string]domain.Position{}
	for name := range s.rooms {
		if name.Kind == domain.RoomDashboard && at.Offset >= 0 {
			projections[name.ID] = at
		}
	}
	return projections
}
