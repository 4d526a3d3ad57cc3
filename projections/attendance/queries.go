package attendance

import (
	"cmp"
	"context"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	days "github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/exact"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Models are what all numbers of attendance are made from: what a query reads that shows one.
func Models() []*projections.Projection {
	return []*projections.Projection{Projection, calendar.Projection, students.Projection}
}

// Queries are those of attendance.
var Queries = []query.Endpoint{
	query.Query[input, Report]{
		Name:    "attendance",
		Path:    "/analytics/attendance",
		Summary: "Attendance of a school or a class",
		Description: "Days absent and days in membership in a range of days, the current school " +
			"year up to today by default, by day, weekday, class and student, and the students who " +
			"are chronically absent. The rate is (membership - days absent) / membership. A mark of " +
			"a section counts for the student's home class on its day, unless the section is " +
			"selected. Marks of days without school, and of days to come, count in nothing. Of " +
			"students teachers see their own; reasons are for administrators and the office.",
		Reads:   Models(),
		TTL:     5 * time.Minute,
		Roles:   []query.Role{query.Admin, query.Office, query.Teacher, query.Analyst},
		ByScope: true,
		Indexes: []query.Index{
			{
				Name: "attendance_days_pkey", Statement: "attendance.days",
				Request: "/analytics/attendance?from=2026-10-01&to=2026-10-31",
			},
			{
				Name: "attendance_days_by_class", Statement: "attendance.days",
				Request: "/analytics/attendance?class=section-07",
			},
			{
				Name: "enrolments_pkey", Statement: "students.homes",
				Request: "/analytics/attendance?class=class-07",
			},
			{
				Name: "attendance_months_pkey", Statement: "attendance.away",
				Request: "/analytics/attendance?from=2026-10-01&to=2026-10-31",
			},
			{
				Name: "attendance_months_pkey", Statement: "attendance.within",
				Request: "/analytics/attendance?class=section-07&from=2026-10-01&to=2026-10-31",
			},
			{
				Name: "attendance_months_pkey", Statement: "attendance.of_students",
				Request: "/analytics/attendance",
			},
			{
				Name: "attendance_months_pkey", Statement: "attendance.reasons",
				Request: "/analytics/attendance?from=2026-10-01&to=2026-10-31",
			},
			{
				Name: "memberships_by_class", Statement: "students.section_stays",
				Request: "/analytics/attendance?class=section-07",
			},
		},
		Run: analyse,
	},
	registerQuery,
}

// input selects what the result covers.
type input struct {
	From         read.Day `query:"from" doc:"First day, as 2026-09-01; that of the current school year when absent"`
	To           read.Day `query:"to" doc:"Last day; today when absent. Days to come count from their day on"`
	Class        string   `query:"class" maxLength:"128" doc:"Only this home class, or this section: then only its lessons count"`
	ByStudent    bool     `query:"by_student" doc:"List the students, the lowest rate first, a page at a time"`
	After        string   `query:"after" maxLength:"2048" doc:"The by_student_next of the previous page"`
	ChronicAfter string   `query:"chronic_after" maxLength:"2048" doc:"The chronic_next of the previous page"`
	Limit        int      `query:"limit" minimum:"1" maximum:"1000" default:"200" doc:"Students on a page"`
	Left         bool     `query:"left" doc:"Lists, counts and bands of students include those who are not enrolled today"`
	Compare      string   `query:"compare" enum:"previous" doc:"previous: with the same span of the term before, when the range is in one term, else of the year before"`
}

// Rates are what attendance comes to.
type Rates struct {
	Membership float64  `json:"membership" doc:"Days in membership: of school, up to today, on which students were enrolled; a half day is half of one"`
	AbsentDays float64  `json:"absent_days" doc:"Days of membership that were missed, in parts of a day"`
	Rate       *float64 `json:"rate" doc:"(membership - absent_days) / membership; null without membership, and where there is no rate"`
}

// Basis says what the numbers are made with.
type Basis struct {
	Calendar    string       `json:"calendar" enum:"set,derived" doc:"derived when no year of the range is set: a day is then one of school for a class when the class has a mark on it"`
	Mode        string       `json:"mode" enum:"all,exceptions" doc:"Whether everybody is marked, or no mark means present"`
	ModeGuessed bool         `json:"mode_guessed" doc:"The school has not said the mode: exceptions if fewer than one in five marks of the year says that somebody was there"`
	NoRate      string       `json:"no_rate,omitzero" doc:"Why there are no rates"`
	Year        domain.Label `json:"year" doc:"The school year of the range"`
	From        domain.Date  `json:"from"`
	To          domain.Date  `json:"to"`
	Today       domain.Date  `json:"today" doc:"By the school's clock"`
}

// Report is attendance in a range of days.
type Report struct {
	Basis
	Totals Counts `json:"totals" doc:"Marks, of days of school up to today"`
	Marks  int64  `json:"marks" doc:"How many there are"`
	Rates
	Days          float64   `json:"days" doc:"Days of school in the range, up to today"`
	ADA           *float64  `json:"ada" doc:"Average daily attendance: days attended / days"`
	ADM           *float64  `json:"adm" doc:"Average daily membership: days in membership / days"`
	Uncounted     int64     `json:"uncounted" doc:"Marks of days without school, which count in nothing"`
	Planned       int64     `json:"planned" doc:"Marks of days to come, which count from their day on"`
	Unweighed     int64     `json:"unweighed" doc:"Days with absences in sessions of which the school has not said what part of a day they are"`
	ByDay         []Day     `json:"by_day"`
	ByWeekday     []Weekday `json:"by_weekday"`
	ByClass       []Class   `json:"by_class"`
	ByReason      []Reason  `json:"by_reason,omitempty" doc:"Absences by reason, the most frequent first, at most 100; for administrators and the office"`
	Bands         []Band    `json:"bands" doc:"Students by their rate, in steps of 5 %; those without students are left out"`
	Chronic       []Student `json:"chronic" doc:"Students who miss 10 % or more of at least 10 days in membership, the lowest rate first; the school may have decided on other bounds"`
	ChronicNext   string    `json:"chronic_next,omitzero" doc:"Pass it as chronic_after to get the next page"`
	ChronicCount  int64     `json:"chronic_count" doc:"How many there are in all"`
	SevereCount   int64     `json:"severe_count" doc:"How many of them miss 50 % or more"`
	ByStudent     []Student `json:"by_student,omitempty"`
	ByStudentNext string    `json:"by_student_next,omitzero" doc:"Pass it as after to get the next page"`
	Previous      *Previous `json:"previous,omitzero" doc:"The span to compare with; absent when there is none"`
}

// Day is one day. One without school shows its marks, which count in nothing.
type Day struct {
	Date domain.Date `json:"date"`
	Counts
	Rates
}

// Weekday is a day of the week.
type Weekday struct {
	Weekday string `json:"weekday" enum:"mon,tue,wed,thu,fri,sat,sun"`
	Rates
}

// Class is a home class, or the selected section.
type Class struct {
	ClassID string `json:"class_id"`
	Counts
	Rates
}

// Reason is why students were absent.
type Reason struct {
	Reason   string `json:"reason" doc:"Empty for absences without one"`
	Absences int64  `json:"absences" doc:"Marks of absence"`
}

// Band are the students with a rate from a percentage up to the next.
type Band struct {
	From     int   `json:"from" doc:"In percent"`
	To       int   `json:"to" doc:"Not included, but for 100"`
	Students int64 `json:"students" doc:"How many are enrolled today and have such a rate"`
}

// Previous is an earlier span.
type Previous struct {
	From   domain.Date `json:"from"`
	To     domain.Date `json:"to"`
	Totals Counts      `json:"totals"`
	Rates
}

func analyse(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) (*Report, error) {
	b, err := prepare(ctx, tx, &scope, in.From.Date, in.To.Date, in.Class)
	if err != nil {
		return nil, err
	}
	m, err := b.measure(ctx, tx, in.Class)
	if err != nil {
		return nil, err
	}
	a := &Report{
		Basis: b.described(), Totals: m.all.Counts, Marks: m.all.Marks(), Rates: b.rates(&m.all),
		Uncounted: m.uncounted, Planned: m.planned, Unweighed: m.unweighed,
	}
	a.averages(b, m, in.Class)
	a.group(b, m)
	if scope.Access.All.Has(access.Reasons) {
		if a.ByReason, err = b.reasons(ctx, tx, in.Class, m.all.Absences()); err != nil {
			return nil, err
		}
	}
	if err = a.list(ctx, tx, b, m, in); err != nil {
		return nil, err
	}
	if in.Compare != "" {
		a.Previous, err = b.previous(ctx, tx, in.Class)
	}
	return a, err
}

// described says what the numbers are made with.
func (b *basis) described() Basis {
	d := Basis{
		Calendar: calendar.Kind(b.Calendar), Mode: b.Mode, ModeGuessed: b.Guessed, Year: b.year.Year,
		From: b.From, To: max(b.From, b.To), Today: b.Today,
	}
	if !b.HasRates() {
		d.NoRate = "only exceptions are recorded and no calendar is set: days without an absence " +
			"leave no trace"
	}
	return d
}

func (b *basis) rates(t *totals) Rates {
	r := Rates{Membership: calendar.Shown(&t.Membership), AbsentDays: calendar.Shown(&t.Absent)}
	if b.HasRates() {
		r.Rate = t.Rate()
	}
	return r
}

// averages divides by the days of school of the range.
func (a *Report) averages(b *basis, m *measured, class string) {
	var of exact.Sum
	b.Calendar.Of(class).Add(&of, b.From, b.To, 1)
	a.Days = calendar.Shown(&of)
	if of.IsZero() {
		return
	}
	average := func(days *big.Rat) *float64 {
		v := exact.Round(days.Quo(days, of.Rat()), 2)
		return &v
	}
	a.ADM = average(m.all.Membership.Rat())
	if b.HasRates() {
		there := m.all.Membership.Rat()
		a.ADA = average(there.Sub(there, m.all.Absent.Rat()))
	}
}

// group makes the lists by day, weekday and class, and the bands.
func (a *Report) group(b *basis, m *measured) {
	a.ByDay, a.ByClass, a.ByWeekday = []Day{}, []Class{}, []Weekday{}
	var weekdays [7]totals
	for i := range m.byDay {
		t := &m.byDay[i]
		if t.Counts == (Counts{}) && t.Membership.IsZero() {
			continue
		}
		date := b.From.AddDays(i)
		a.ByDay = append(a.ByDay, Day{date, t.Counts, b.rates(t)})
		of := &weekdays[date.Weekday()]
		of.Membership.Plus(&t.Membership)
		of.Absent.Plus(&t.Absent)
	}
	a.showUncounted(b)
	for i := range weekdays {
		day := time.Weekday(i+1) % 7
		if of := &weekdays[day]; !of.Membership.IsZero() {
			a.ByWeekday = append(a.ByWeekday, Weekday{days.WeekdayName(day), b.rates(of)})
		}
	}
	for id, t := range m.byClass {
		if t.Counts != (Counts{}) || !t.Membership.IsZero() {
			a.ByClass = append(a.ByClass, Class{id, t.Counts, b.rates(t)})
		}
	}
	slices.SortFunc(a.ByClass, func(x, y Class) int { return strings.Compare(x.ClassID, y.ClassID) })
}

// showUncounted adds the marks of days without school to the days: they are shown, and count in
// nothing.
func (a *Report) showUncounted(b *basis) {
	for i := range b.days {
		d := &b.days[i]
		if d.date > b.To || b.Calendar.Of(d.classID).Weight(d.date) > 0 {
			continue
		}
		at, found := slices.BinarySearchFunc(a.ByDay, d.date, func(x Day, date domain.Date) int {
			return int(x.Date - date)
		})
		if !found {
			a.ByDay = slices.Insert(a.ByDay, at, Day{Date: d.date})
		}
		a.ByDay[at].plus(d.Counts)
	}
}

// previous is the same span of the term before, when the range is in one term, else of the year
// before; nil when neither is set.
func (b *basis) previous(ctx context.Context, tx pgx.Tx, class string) (*Previous, error) {
	from, ok := b.earlier()
	if !ok || b.From > b.To {
		return nil, nil
	}
	before, err := prepare(ctx, tx, b.scope, from, from+(b.To-b.From), class)
	if err != nil {
		return nil, err
	}
	m, err := before.measure(ctx, tx, class)
	if err != nil {
		return nil, err
	}
	return &Previous{before.From, before.To, m.all.Counts, before.rates(&m.all)}, nil
}

// earlier is the first day of the span to compare with.
func (b *basis) earlier() (domain.Date, bool) {
	_, term, inTerm := b.Calendar.TermOf(b.From)
	if inTerm && b.To <= term.To && b.From > b.year.From {
		var last days.Term
		for _, y := range b.years {
			for _, t := range y.Terms {
				if t.To < term.From && t.From > last.From {
					last = t
				}
			}
		}
		if !last.From.IsZero() {
			return last.From + (b.From - term.From), true
		}
	}
	month := b.scope.Settings.YearFrom
	before := days.YearOf(b.years, month, b.year.From-1)
	if before.To >= b.year.From { // by the month, a day before the year that is set is in the same one
		before = days.YearOf(b.years, month, before.From-1)
	}
	return before.From + (b.From - b.year.From), true
}

const reasonsSQL read.SQL = `-- attendance.reasons
SELECT student_id, month, split_part(marks, E'\n', 1), reasons FROM attendance_months
WHERE school = $1 AND month BETWEEN $2 AND $3 AND reasons <> ''`

const maxReasons = 100

// reasons counts the absences of days of school by what was said of them.
func (b *basis) reasons(
	ctx context.Context, tx pgx.Tx, class string, absences int64,
) ([]Reason, error) {
	type row struct {
		studentID, marks, reasons string
		month                     domain.Date
	}
	counts, said := map[string]int64{}, int64(0)
	var s sheet
	var failed error
	err := read.Each(ctx, tx, reasonsSQL, func(r *row) []any {
		return []any{&r.studentID, &r.month, &r.marks, &r.reasons}
	}, func(r row) {
		var err error
		if s, err = parseSheet(s[:0], r.marks); err != nil {
			failed = err
			return
		}
		eachReason(r.reasons, func(day int, session, reason string) {
			date := r.month.AddDays(day - 1)
			at, found := slices.BinarySearchFunc(s, mark{day: day, session: session}, compareMarks)
			if !found || !s[at].absent() || date < b.From || date > b.To {
				return
			}
			of := b.filing.classOf(r.studentID, date, s[at].class)
			if class == "" || of == class {
				if b.Calendar.Of(of).Weight(date) > 0 {
					counts[reason]++
					said++
				}
			}
		})
	}, b.scope.School, b.From.Month(), b.To.Month())
	if err != nil || failed != nil {
		return nil, cmp.Or(err, failed)
	}
	if absences > said {
		counts[""] = absences - said
	}
	all := make([]Reason, 0, len(counts))
	for reason, n := range counts {
		all = append(all, Reason{reason, n})
	}
	slices.SortFunc(all, func(x, y Reason) int {
		return cmp.Or(cmp.Compare(y.Absences, x.Absences), strings.Compare(x.Reason, y.Reason))
	})
	return all[:min(len(all), maxReasons)], nil
}
