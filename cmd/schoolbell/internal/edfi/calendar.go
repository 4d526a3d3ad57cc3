package edfi

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// indexSession keeps a school's sessions in order of time, with those of one begin in the order of
// their names, so that the same files give the same terms.
func (d *directory) indexSession(e *element) {
	begin, ok1 := parseDate(e.str("BeginDate"))
	end, ok2 := parseDate(e.str("EndDate"))
	if !ok1 || !ok2 {
		return // the second pass reports it
	}
	school := d.schoolID(e)
	s := session{
		name:  e.str("SessionName"),
		year:  label(e.str("SchoolYear")),
		term:  label(cmp.Or(e.code("Term"), e.str("SessionName"))),
		begin: begin,
		end:   end,
	}
	sessions := append(d.sessions[school], s)
	slices.SortFunc(sessions,
		func(a, b session) int {
			return cmp.Or(cmp.Compare(a.begin, b.begin),
				cmp.Compare(a.name, b.name))
		})
	d.sessions[school] = sessions
}

// termNamed finds the term of a school's session by its name, or uses the name itself.
func (d *directory) termNamed(school, name string) string {
	for _, s := range d.sessions[school] {
		if s.name == name {
			return s.term
		}
	}
	return label(name)
}

// termOn finds the term of a day in a school year. Where no session of the year contains the day,
// the session that contains the same day of the year is used: some files have dates of another year
// than the one they name.
func (d *directory) termOn(school, year string, day domain.Date) (term string, exact bool) {
	for _, s := range d.sessions[school] {
		if s.begin <= day && day <= s.end {
			return s.term, true
		}
	}
	_, month, dayOfMonth := day.Time().Date()
	for _, s := range d.sessions[school] {
		for y := s.begin.Time().Year(); y <= s.end.Time().Year(); y++ {
			if moved := domain.NewDate(y, month, dayOfMonth); s.year == year && s.begin <= moved &&
				moved <= s.end {
				return s.term, false
			}
		}
	}
	return "", false
}

// firstDay is the first day of a school's earliest session, or of any school's, or the earliest
// date in the files.
func (d *directory) firstDay(school string) domain.Date {
	if s := d.sessions[school]; len(s) > 0 {
		return s[0].begin
	}
	var first domain.Date
	for _, s := range d.sessions {
		if first.IsZero() || s[0].begin < first {
			first = s[0].begin
		}
	}
	return cmp.Or(first, d.earliest)
}

// noteDate updates the earliest date.
func (d *directory) noteDate(s string) {
	if day, ok := parseDate(s); ok && (d.earliest.IsZero() || day < d.earliest) {
		d.earliest = day
	}
}

// parseDate parses a date that exists. An xs:date may carry a zone, and some exports write a time
// of day where the schema has a date: the day is the one that is written, since it is the school's.
func parseDate(s string) (day domain.Date, ok bool) {
	written, rest := strings.TrimSpace(s), ""
	if len(written) > len(time.DateOnly) {
		written, rest = written[:len(time.DateOnly)], written[len(time.DateOnly):]
	}
	if !isZone(rest) {
		if _, err := parseClock(written + rest); err != nil {
			return 0, false
		}
	}
	day, err := domain.ParseDate(written)
	return day, err == nil
}

// isZone reports whether a text is the zone of an xs:date, which may be left out.
func isZone(s string) bool {
	if s == "" || s == "Z" {
		return true
	}
	_, err := time.Parse("-07:00", s)
	return err == nil
}

// parseTime parses a date with or without a time of day. A date alone stands for noon.
func parseTime(s string) (time.Time, bool) {
	if t, err := parseClock(strings.TrimSpace(s)); err == nil {
		return t.UTC(), true
	}
	day, ok := parseDate(s)
	return noon(day), ok
}

// parseClock parses an xs:dateTime, whose zone may be left out.
func parseClock(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", s)
	}
	return t, err
}

// noon is the time of events of which the files give only the day: it falls on the same date nearly
// everywhere.
func noon(day domain.Date) time.Time { return day.Time().Add(12 * time.Hour) }
