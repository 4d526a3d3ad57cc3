package simulate

import (
	"math"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
)

var excuses = []string{"ill", "ill", "ill", "medical appointment", "family reasons"}

// morning marks every student of the school.
func (s *School) morning(today domain.Date) {
	when := at(today, 8*time.Hour)
	step := 90 * time.Minute / time.Duration(len(s.students))
	date := today.String()
	season := s.season(today)
	for c := range s.classes {
		for _, i := range s.classes[c].students {
			p := &s.students[i]
			if p.gone {
				continue
			}
			when = when.Add(step)
			m := &attendance.Marked{
				StudentID: p.id,
				ClassID:   s.classes[c].id,
				Date:      today,
				Session:   "day",
			}
			m.Status, m.Reason = s.presence(p, season)
			s.emit(when, "mark-"+date+"-"+p.id, attendance.TypeMarked, m)
			if m.Status == attendance.AbsentUnexcused && p.excuses && s.r.Float64() < 0.7 {
				s.noteFollows(*m, at(today, 34*time.Hour))
			}
		}
	}
}

// season is how much more, or less, likely than on an ordinary day it is to be absent.
func (s *School) season(today domain.Date) float64 {
	wave := func(center, width, height float64) float64 {
		d := (float64(s.index) - center) / width
		return height * math.Exp(-d*d/2)
	}
	f := 1 + wave(s.waveDay, 7, 2.4) + wave(45, 9, 0.5)
	switch today.Weekday() {
	case time.Monday:
		return f * 1.25
	case time.Friday:
		return f * 1.15
	default:
		return f * 0.87
	}
}

// presence decides where a student is today.
func (s *School) presence(p *pupil, season float64) (status, reason string) {
	u := s.r.Float64()
	falls := float64(p.absence) * season
	switch {
	case p.illFor > 0:
		p.illFor--
	case u < falls:
		for s.r.Float64() < 0.48 && p.illFor < 9 {
			p.illFor++
		}
	case u < falls+float64(p.late):
		p.away = false
		return attendance.Late, ""
	default:
		p.away = false
		return attendance.Present, ""
	}
	p.away = true
	excused := 0.25
	if p.excuses {
		excused = 0.85
	}
	if s.r.Float64() < excused {
		return attendance.AbsentExcused, pick(s.r, excuses)
	}
	return attendance.AbsentUnexcused, ""
}

// noteFollows excuses an absence on a later day.
func (s *School) noteFollows(m attendance.Marked, when time.Time) {
	s.later.at(when, func(when time.Time) {
		m.Status, m.Reason = attendance.AbsentExcused, "note received"
		corrected := attendance.Corrected(m)
		s.emit(when, "corrected-"+m.Date.String()+"-"+m.StudentID, attendance.TypeCorrected, &corrected)
	})
}
