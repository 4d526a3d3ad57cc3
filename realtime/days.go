package realtime

import (
	"context"

	"github.com/schoolbell/schoolbell/domain"
)

// Rights may begin and end with a day: a membership that was entered ahead, a guardian who is
// unlinked from the first of the month on. So may what dashboards show, which are as of today. No
// event says that the day has come, so every node looks for itself.

// today returns a school's day, or zero when nothing depends on it here.
func (h *Hub) today(ctx context.Context, school string) (domain.Date, error) {
	if h.cfg.Today == nil {
		return 0, nil
	}
	return h.cfg.Today(ctx, school)
}

// unknownDay is the day of what a dashboard shows where the school's could not be looked up.
const unknownDay = -1

// showOn notes on which day a session began to follow dashboards.
func (h *Hub) showOn(ctx context.Context, s *Session) {
	on, err := h.today(ctx, s.school.name)
	if err != nil {
		on = unknownDay // it is notified once there is one
	}
	s.shownOn.CompareAndSwap(0, int32(on))
}

// turnDays looks for schools whose day has turned.
func (h *Hub) turnDays(ctx context.Context) error {
	if h.cfg.Today == nil {
		return nil
	}
	return every(ctx, h.cfg.DayInterval, func() {
		open := map[*school][]*Session{}
		for _, s := range h.allSessions() {
			open[s.school] = append(open[s.school], s)
		}
		for sc, sessions := range open {
			today, err := h.today(ctx, sc.name)
			if err != nil { // the next look finds out
				h.cfg.Logger.WarnContext(ctx, "look up the day", "school", sc.name, "error", err)
				continue
			}
			h.turnDay(sc, sessions, int32(today))
		}
	})
}

// turnDay checks the rooms of sessions again that were admitted on another day, and notifies the
// dashboards of the school when one of them shows another day.
func (h *Hub) turnDay(sc *school, sessions []*Session, today int32) {
	turned := false
	for _, s := range sessions {
		if on := s.admittedOn.Load(); on != 0 && on != today {
			h.recheck(s)
		}
		if on := s.shownOn.Load(); on != 0 && on != today {
			turned = s.shownOn.CompareAndSwap(on, today) || turned
		}
	}
	if turned {
		sc.notifyDashboards(sc.shown())
	}
}
