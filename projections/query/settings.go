package query

import (
	"time"

	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/marks"
	"github.com/schoolbell/schoolbell/domain/presence"
)

// Settings are what a school has decided that its numbers depend on. They come in when a result is
// made: no fold reads them. The zero value is for a school that has decided nothing.
type Settings struct {
	// Version grows with each change of the school's settings. It is part of a cached result's key,
	// so that a result which was made with others is not served.
	Version int64
	Zone    *time.Location // nil is UTC; see Location
	// YearFrom is the month in which a school year begins where the calendar names no year; 0 means
	// August.
	YearFrom   int
	Week       calendar.Week
	Attendance presence.Rules
	Marks      marks.Rules
}

// Location is the school's clock. What an event's time means in days, months or years is decided by
// it, as [Scope.Today] is.
func (s *Settings) Location() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}
