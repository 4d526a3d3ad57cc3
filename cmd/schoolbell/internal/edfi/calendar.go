package edfi

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/ingest/imports"
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
		days:  instructionalDays(e),
	}
	d.sessions[school] = inOrder(append(d.sessions[school], s))
}

func inOrder(sessions []session) []session {
	slices.SortFunc(sessions, func(a, b session) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.name, b.name))
	})
	return sessions
}

// indexPeriod keeps a grading period, for years of which the files have no session.
func (d *directory) indexPeriod(e *element) {
	begin, ok1 := parseDate(e.str("BeginDate"))
	end, ok2 := parseDate(e.str("EndDate"))
	if !ok1 || !ok2 {
		return // the second pass reports it
	}
	school, name := d.schoolID(e), cmp.Or(e.str("GradingPeriodName"), e.code("GradingPeriod"))
	d.periods[school] = inOrder(append(d.periods[school], session{
		name: name, year: label(e.str("SchoolYear")), term: label(name), begin: begin, end: end,
		days: instructionalDays(e),
	}))
}

// instructionalDays is how many days of school a session or a period has; 0 when it is not said.
func instructionalDays(e *element) int64 {
	n, err := strconv.ParseInt(e.str("TotalInstructionalDays"), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// years makes the school years of a school: of its sessions or, where a year has none, of its grading
// periods.
func (d *directory) years(school string) (all []*imports.Year) {
	by := map[string][]session{}
	for _, s := range d.sessions[school] {
		by[s.year] = append(by[s.year], s)
	}
	periods := map[string][]session{}
	for _, p := range d.periods[school] {
		if by[p.year] == nil {
			periods[p.year] = append(periods[p.year], p)
		}
	}
	maps.Copy(by, periods)
	for _, name := range slices.Sorted(maps.Keys(by)) {
		y := &imports.Year{Year: domain.Label(name), Terms: []calendar.Term{}}
		for _, s := range apart(by[name]) {
			if y.From.IsZero() {
				y.From = s.begin
			}
			y.To = s.end
			y.Terms = append(y.Terms, calendar.Term{
				Term: domain.Label(s.term), From: s.begin, To: s.end,
				InstructionalDays: min(s.days, int64(s.end-s.begin)+1),
			})
		}
		all = append(all, y)
	}
	return all
}

// apart leaves out sessions that overlap with others, so that as many as can be remain: a session of
// all the year next to its semesters is none of its terms.
func apart(sessions []session) (all []session) {
	byEnd := slices.SortedStableFunc(slices.Values(sessions), func(a, b session) int {
		return cmp.Compare(a.end, b.end)
	})
	names := map[string]bool{}
	for _, s := range byEnd {
		if last := len(all) - 1; s.begin <= s.end && !names[s.term] &&
			(last < 0 || all[last].end < s.begin) {
			all, names[s.term] = append(all, s), true
		}
	}
	return all
}

// kindsOfDays maps Ed-Fi's calendar events.
var kindsOfDays = map[string]string{
	"Instructional day":                    calendar.Instructional,
	"Make-up day":                          calendar.Instructional,
	"Student late arrival/early dismissal": calendar.Half,
	"Holiday":                              calendar.Holiday,
	"Non-instructional day":                calendar.Holiday,
	"Teacher only day":                     calendar.Closed,
	"Weather day":                          calendar.Closed,
	"Emergency day":                        calendar.Closed,
	"Strike":                               calendar.Closed,
}

// day imports a date of a calendar. Schoolbell has one calendar for a school: of several the first
// that names a day counts.
func (im *Import) day(e *element) error {
	identity := e.at("CalendarReference", "CalendarIdentity")
	school := im.directory.schoolID(identity)
	on, ok := parseDate(e.str("Date"))
	if !ok {
		return im.refuse(e, imports.KindDay, "", school, "the day is not a date")
	}
	kind := ""
	for event := range e.all("CalendarEvent") {
		kind = cmp.Or(kind, kindsOfDays[codeValue(event.text)])
	}
	if kind == "" {
		im.report.unused(e.name, im.at(e), "its events do not say whether there is school")
		return nil
	}
	switch was, taken := im.days[[2]string{school, on.String()}]; {
	case taken && was != kind:
		im.report.adjusted(e.name, im.at(e),
			"another calendar of the school says otherwise: the first one counts")
		return nil
	case taken:
		im.used[e.name]++
		return nil
	}
	im.days[[2]string{school, on.String()}] = kind
	_, err := im.emit(e, imports.KindDay, "", school, noon(on), &imports.Day{Date: on, Kind: kind})
	return err
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
