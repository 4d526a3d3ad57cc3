package attendance

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/presence"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

var registerQuery = query.Query[registerInput, Register]{
	Name:    "today",
	Path:    "/analytics/today",
	Summary: "The register of today",
	Description: "By home class: how many students are expected today, how many are marked, and " +
		"how many not yet. The rate is over those who were marked or, where only exceptions are " +
		"recorded, over those who are expected. Today is the day by the school's clock.",
	Reads:      Models(),
	TTL:        time.Minute,
	Roles:      []query.Role{query.Admin, query.Office, query.Teacher, query.Analyst},
	Impersonal: true,
	Indexes: []query.Index{
		{
			Name: "attendance_months_pkey", Statement: "attendance.of_month",
			Request: "/analytics/today",
		},
	},
	Run: func(
		ctx context.Context, tx pgx.Tx, scope query.Scope, _ *registerInput,
	) (*Register, error) {
		return registerOf(ctx, tx, &scope, scope.Today)
	},
}

// registerInput has no parameters.
type registerInput struct{}

// Register is the roll call of a day.
type Register struct {
	Calendar    string      `json:"calendar" enum:"set,derived" doc:"derived when no year is set: students are then expected on the days of the school's week"`
	Mode        string      `json:"mode" enum:"all,exceptions"`
	ModeGuessed bool        `json:"mode_guessed" doc:"The school has not said the mode"`
	Date        domain.Date `json:"date"`
	Roll
	ByClass []ClassRoll `json:"by_class"`
}

// Roll is how many were called, and what the marks came to.
type Roll struct {
	Expected int64 `json:"expected" doc:"Students who are enrolled, and have school"`
	Marked   int64 `json:"marked" doc:"Those of them who have a mark"`
	NotTaken int64 `json:"not_yet_taken" doc:"Those who have none, where everybody is marked"`
	Counts
	AbsentDays float64  `json:"absent_days" doc:"What they missed, in parts of a day"`
	Rate       *float64 `json:"rate" doc:"(of - absent_days) / of"`
	Of         int64    `json:"of" doc:"The students that the rate is over: those who are marked, in mode exceptions those who are expected"`

	record presence.Record
}

// ClassRoll is that of a home class.
type ClassRoll struct {
	ClassID string `json:"class_id"`
	Roll
}

const ofMonthSQL read.SQL = `-- attendance.of_month
SELECT student_id, month, marks FROM attendance_months WHERE school = $1 AND month = $2`

// registerOf calls the roll of a day.
func registerOf(
	ctx context.Context, tx pgx.Tx, scope *query.Scope, day domain.Date,
) (*Register, error) {
	b, err := window(ctx, tx, scope, day, day)
	if err != nil {
		return nil, err
	}
	if b.homes, err = students.AllHomes(ctx, tx, scope.School); err != nil {
		return nil, err
	}
	if err := b.decide(ctx, tx); err != nil {
		return nil, err
	}
	marks := map[string][]presence.Mark{}
	err = eachMark(ctx, tx, ofMonthSQL, day, day,
		func(id string, date domain.Date, k *mark) { marks[id] = append(marks[id], k.on(date)) },
		scope.School, day.Month())
	if err != nil {
		return nil, err
	}
	rolls := map[string]*ClassRoll{}
	roll := func(class string) *ClassRoll {
		if rolls[class] == nil {
			rolls[class] = &ClassRoll{ClassID: class}
		}
		return rolls[class]
	}
	for id, stays := range b.homes.All() {
		if class := b.homes.Attends(id, day); class != "" && b.hasSchool(class, day, marks[id]) {
			roll(class).call(b, marks[id])
		}
		if len(stays) > 0 {
			delete(marks, id)
		}
	}
	for _, of := range marks { // whom nobody has enrolled
		roll(of[0].ClassID).call(b, of)
	}
	r := &Register{
		Calendar: calendar.Kind(b.Calendar), Mode: b.Mode, ModeGuessed: b.Guessed, Date: day,
		ByClass: []ClassRoll{},
	}
	for _, c := range rolls {
		r.plus(&c.Roll)
		c.close(b)
		r.ByClass = append(r.ByClass, *c)
	}
	r.close(b)
	slices.SortFunc(r.ByClass,
		func(x, y ClassRoll) int { return strings.Compare(x.ClassID, y.ClassID) })
	return r, nil
}

// hasSchool reports whether a student is expected.
func (b *basis) hasSchool(class string, day domain.Date, marks []presence.Mark) bool {
	if b.Calendar.Derived() {
		return len(marks) > 0 || slices.Contains(b.scope.Settings.Week.Days(), day.Weekday())
	}
	return b.Calendar.Of(class).Weight(day) > 0
}

// call calls one student.
func (r *Roll) call(b *basis, marks []presence.Mark) {
	r.Expected++
	if len(marks) == 0 {
		return
	}
	r.Marked++
	sessions := make([]presence.Session, len(marks))
	for i, m := range marks {
		sessions[i] = m.Session
		r.add(m.Status, 1)
	}
	part, _ := b.Absent(b.Mode, sessions)
	r.record.Absent.Add(part.Num, max(part.Den, 1))
}

func (r *Roll) plus(o *Roll) {
	r.Expected += o.Expected
	r.Marked += o.Marked
	r.Counts.plus(o.Counts)
	r.record.Absent.Plus(&o.record.Absent)
}

// close makes the rate.
func (r *Roll) close(b *basis) {
	if r.Of = r.Expected; b.Mode == presence.ModeAll {
		r.Of, r.NotTaken = r.Marked, r.Expected-r.Marked
	}
	r.record.Membership.Add(r.Of, 1)
	r.AbsentDays, r.Rate = calendar.Shown(&r.record.Absent), r.record.Rate()
}

const lastDaySQL read.SQL = `-- attendance.last_day
SELECT max(date) FROM attendance_days WHERE school = $1 AND date <= $2`

// DayRoll is the roll of a day.
type DayRoll struct {
	Date domain.Date `json:"date"`
	Roll
}

// LastRoll returns the roll of the last day up to today that has marks; nil when there is none.
func LastRoll(ctx context.Context, tx pgx.Tx, scope *query.Scope) (*DayRoll, error) {
	day, _, err := read.One(ctx, tx, lastDaySQL, func(d *domain.Date) []any { return []any{d} },
		scope.School, scope.Today)
	if err != nil || day.IsZero() {
		return nil, err
	}
	r, err := registerOf(ctx, tx, scope, day)
	if err != nil {
		return nil, err
	}
	return &DayRoll{day, r.Roll}, nil
}
