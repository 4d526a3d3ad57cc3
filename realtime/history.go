package realtime

import (
	"context"
	"fmt"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
)

// History is a question about what has happened in a room that the session is in.
type History struct {
	After   *domain.Position // nil: from the oldest event that this node remembers
	Limit   int              // at most Config.MaxMissed are given; 0 asks only for the position
	Reverse bool             // the newest first, from those that this node remembers
}

// History returns events of a room and up to where the log has been looked at.
func (s *Session) History(ctx context.Context, room domain.Room, q History) ([]Delivery, domain.Position, error) {
	sc := s.school
	sc.mu.RLock()
	i := s.find(room)
	var audiences domain.Audiences
	if i >= 0 {
		audiences = s.rooms[i].audiences
	}
	after, upTo := sc.from, sc.head()
	sc.mu.RUnlock()
	if i < 0 {
		return nil, domain.Position{}, fmt.Errorf("%s: %w", room, ErrDenied)
	}
	if q.After != nil {
		from, err := sc.partition.recoverable(ctx, *q.After)
		if err != nil {
			return nil, domain.Position{}, err
		}
		after = from
	}
	limit := min(q.Limit, s.hub.cfg.MaxMissed)
	var found []Delivery
	for limit > 0 && after < upTo && (q.Reverse || len(found) < limit) {
		events, next, err := sc.read(ctx, after)
		if err != nil {
			return nil, domain.Position{}, err
		}
		for _, e := range events {
			if e.Position.Offset <= upTo && e.decoded() && e.in(room) >= 0 {
				found = offer(found, len(found), e, room, audiences, true)
			}
		}
		if q.Reverse && len(found) > limit {
			found = slices.Clone(found[len(found)-limit:])
		}
		after = next
	}
	if q.Reverse {
		slices.Reverse(found)
	}
	return found[:min(limit, len(found))], s.at(upTo), nil
}
