package realtime

import (
	"context"
	"fmt"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
)

// History is a query for past events of a room that the session is in.
type History struct {
	After   *domain.LogPosition // nil: from the oldest event in this node's memory
	Limit   int                 // at most Config.MaxMissed are returned; 0 returns only the position
	Reverse bool                // the newest first, from those in this node's memory
}

// History returns events of a room, and the position up to which the log was searched for them.
func (s *Session) History(
	ctx context.Context, room domain.Room, q History,
) ([]Delivery, domain.LogPosition, error) {
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
		return nil, domain.LogPosition{}, fmt.Errorf("%s: %w", room, ErrDenied)
	}
	if q.After != nil {
		from, err := sc.partition.recoverable(ctx, sc.name, *q.After)
		if err != nil {
			return nil, domain.LogPosition{}, err
		}
		after = from
	}
	limit := min(q.Limit, s.hub.cfg.MaxMissed)
	var found []Delivery
	for limit > 0 && after < upTo && (q.Reverse || len(found) < limit) {
		events, next, err := sc.read(ctx, after)
		if err != nil {
			return nil, domain.LogPosition{}, err
		}
		found = sc.appendOf(found, events, room, audiences, upTo)
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

// missed returns the events of a room after one offset and up to another. More than
// Config.MaxMissed are not returned but refused: a client with so large a gap reads the state from
// the API instead.
func (s *school) missed(
	ctx context.Context, room domain.Room, audiences domain.Audiences, after, upTo int64,
) ([]Delivery, error) {
	var missed []Delivery
	for limit := s.partition.hub.cfg.MaxMissed; after < upTo; {
		events, next, err := s.read(ctx, after)
		if err != nil {
			return nil, err
		}
		missed = s.appendOf(missed, events, room, audiences, upTo)
		if len(missed) > limit {
			return nil, fmt.Errorf("%w: more than %d events were missed", ErrUnrecoverable, limit)
		}
		after = next
	}
	return missed, nil
}

// appendOf appends those of a school's events that belong to a room, up to an offset.
func (s *school) appendOf(
	dst []Delivery, events []*Event, room domain.Room, audiences domain.Audiences, upTo int64,
) []Delivery {
	for _, e := range events {
		if e.Position.Offset <= upTo && e.decoded() && e.in(room) >= 0 {
			dst = s.offer(dst, len(dst), e, room, audiences, true)
		}
	}
	return dst
}
