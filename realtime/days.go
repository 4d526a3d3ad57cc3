package realtime

import (
	"context"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// Rights may begin and end with a day: a membership that was entered ahead, a guardian who is
// unlinked from the first of the month on. No event says that the day has come, so every node looks
// for itself.

// today returns a school's day, or zero when days change no rights here.
func (h *Hub) today(ctx context.Context, school string) (domain.Date, error) {
	if h.cfg.Today == nil {
		return 0, nil
	}
	return h.cfg.Today(ctx, school)
}

// turnDays checks the rooms of a school's sessions again when its day has turned.
func (h *Hub) turnDays(ctx context.Context) error {
	if h.cfg.Today == nil {
		return nil
	}
	look := time.NewTicker(h.cfg.DayInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
		open := map[string][]*Session{}
		for _, s := range h.allSessions() {
			open[s.school.name] = append(open[s.school.name], s)
		}
		for school, sessions := range open {
			today, err := h.today(ctx, school)
			if err != nil { // the next look finds out
				h.cfg.Logger.WarnContext(ctx, "look up the day", "school", school, "error", err)
				continue
			}
			for _, s := range sessions {
				if on := s.admittedOn.Load(); on != 0 && on != int32(today) {
					h.recheck(s)
				}
			}
		}
	}
}
