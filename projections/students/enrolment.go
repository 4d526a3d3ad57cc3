package students

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

var enrolmentQuery = query.Query[enrolmentInput, Enrolment]{
	Name:    "enrolment",
	Path:    "/enrolment",
	Summary: "How many students are enrolled on a day",
	Description: "The students of each home class on a day, as of a census, and who entered and left " +
		"in a period: the school year of the day up to it, by default. The days that facts name " +
		"decide: what becomes known later changes the result of a day that is past. Of those who " +
		"entered or left teachers see their own.",
	Reads:   []*projections.Projection{Projection, calendar.Projection},
	TTL:     5 * time.Minute,
	Roles:   []query.Role{query.Admin, query.Office, query.Teacher, query.Analyst},
	ByScope: true,
	Indexes: []query.Index{
		{Name: "enrolments_pkey", Statement: "students.enrolments", Request: "/enrolment"},
	},
	Run: enrolment,
}

// enrolmentInput selects a day and a period.
type enrolmentInput struct {
	On
	From  read.Day `query:"from" doc:"The first day of the period; that of the school year of the day when absent"`
	To    read.Day `query:"to" doc:"The last day of the period; the day itself when absent"`
	List  string   `query:"list" enum:"entries,leavers" default:"entries" doc:"Who is listed: those who entered in the period, or who left, a page at a time"`
	After string   `query:"after" maxLength:"2048" doc:"The next of the previous page"`
	Limit int      `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"Students on a page"`
}

// Enrolment is how many students there are.
type Enrolment struct {
	On       domain.Date      `json:"on"`
	Enrolled int64            `json:"enrolled" doc:"On the day"`
	From     domain.Date      `json:"from"`
	To       domain.Date      `json:"to"`
	Opening  int64            `json:"opening" doc:"Enrolled on the day before the period"`
	Entries  int64            `json:"entries" doc:"Enrolments that began in the period; a student who came back is counted again"`
	Leavers  int64            `json:"leavers" doc:"Those that ended: the day is the first without school"`
	Closing  int64            `json:"closing" doc:"Enrolled on the last day of the period: opening + entries - leavers"`
	ByClass  []ClassEnrolment `json:"by_class"`
	Students []Moved          `json:"students"`
	Next     string           `json:"next,omitzero" doc:"Pass it as after to get the next page; absent on the last one"`
}

// ClassEnrolment is that of a home class.
type ClassEnrolment struct {
	ClassID  string `json:"class_id"`
	Enrolled int64  `json:"enrolled" doc:"On the day"`
	Entries  int64  `json:"entries" doc:"Enrolments that began in the period, in this class"`
	Leavers  int64  `json:"leavers" doc:"Those that ended, from this class"`
	MovedIn  int64  `json:"moved_in" doc:"From other home classes, in the period"`
	MovedOut int64  `json:"moved_out" doc:"To other home classes, in the period"`
}

// Moved is a student who entered or left.
type Moved struct {
	StudentID  string      `json:"student_id"`
	GivenName  string      `json:"given_name"`
	FamilyName string      `json:"family_name"`
	ClassID    string      `json:"class_id" doc:"The home class at that time"`
	On         domain.Date `json:"on"`
}

const enrolmentsSQL read.SQL = `-- students.enrolments
SELECT student_id, class_id, starts, ends, enrolled_on, withdrawn_on FROM enrolments
WHERE school = $1 ORDER BY student_id, starts`

// stretch is a time in one home class, and the enrolment that it is part of.
type stretch struct {
	studentID, classID        string
	starts, ends              domain.Date
	enrolledOn, withdrawnOn   domain.Date
	entered, left, came, went bool // in the period
}

func (s *stretch) on(day domain.Date) bool {
	return s.starts <= day && (s.ends.IsZero() || day < s.ends)
}

func enrolment(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *enrolmentInput,
) (*Enrolment, error) {
	a := &Enrolment{On: in.Or(scope.Today), From: in.From.Date, To: in.To.Date}
	a.To = cmp.Or(a.To, a.On)
	if a.From.IsZero() {
		year, err := calendar.YearOn(ctx, tx, &scope, a.To)
		if err != nil {
			return nil, err
		}
		a.From = year.From
	}
	if a.From > a.To {
		return nil, fmt.Errorf("%w: from is after to", query.ErrInput)
	}
	all, err := read.All(ctx, tx, enrolmentsSQL, func(s *stretch) []any {
		return []any{
			&s.studentID, &s.classID, &s.starts, &s.ends, &s.enrolledOn, &s.withdrawnOn,
		}
	}, scope.School)
	if err != nil {
		return nil, err
	}
	a.count(all)
	return a, a.list(ctx, tx, &scope, in, all)
}

// count adds up the stretches, and notes what happened with each in the period.
func (a *Enrolment) count(all []stretch) {
	classes := map[string]*ClassEnrolment{}
	of := func(id string) *ClassEnrolment {
		if classes[id] == nil {
			classes[id] = &ClassEnrolment{ClassID: id}
		}
		return classes[id]
	}
	within := func(day domain.Date) bool { return a.From <= day && day <= a.To }
	add := func(when bool, numbers ...*int64) {
		if when {
			for _, n := range numbers {
				*n++
			}
		}
	}
	for i := range all {
		s := &all[i]
		begins, ends := s.starts == s.enrolledOn, s.ends == s.withdrawnOn && !s.ends.IsZero()
		s.entered, s.came = within(s.starts) && begins, within(s.starts) && !begins
		s.left, s.went = within(s.ends) && ends, within(s.ends) && !ends
		c := of(s.classID)
		add(s.on(a.On), &a.Enrolled, &c.Enrolled)
		add(s.on(a.From-1), &a.Opening)
		add(s.on(a.To), &a.Closing)
		add(s.entered, &a.Entries, &c.Entries)
		add(s.left, &a.Leavers, &c.Leavers)
		add(s.came, &c.MovedIn)
		add(s.went, &c.MovedOut)
	}
	a.ByClass = []ClassEnrolment{}
	for _, c := range classes {
		if *c != (ClassEnrolment{ClassID: c.ClassID}) {
			a.ByClass = append(a.ByClass, *c)
		}
	}
	slices.SortFunc(a.ByClass, func(x, y ClassEnrolment) int {
		return strings.Compare(x.ClassID, y.ClassID)
	})
}

// moveCursor is where a page ends.
type moveCursor struct {
	On        domain.Date `json:"d"`
	StudentID string      `json:"s"`
}

func (m *Moved) compare(c *moveCursor) int {
	return cmp.Or(cmp.Compare(m.On, c.On), strings.Compare(m.StudentID, c.StudentID))
}

// list adds a page of who entered or left, by day.
func (a *Enrolment) list(
	ctx context.Context, tx pgx.Tx, scope *query.Scope, in *enrolmentInput, all []stretch,
) error {
	after, err := read.ParseCursor[moveCursor](in.After)
	if err != nil {
		return err
	}
	among := scope.Access.Among(access.Names)
	var moved []Moved
	for _, s := range all {
		m := Moved{StudentID: s.studentID, ClassID: s.classID, On: s.starts}
		if in.List == "leavers" {
			m.On = s.ends
		}
		if (in.List == "leavers" && s.left || in.List == "entries" && s.entered) &&
			(among == nil || slices.Contains(among, s.studentID)) &&
			(after == nil || m.compare(after) > 0) {
			moved = append(moved, m)
		}
	}
	slices.SortFunc(moved, func(x, y Moved) int {
		return x.compare(&moveCursor{y.On, y.StudentID})
	})
	limit := read.Page(in.Limit, 100, 500)
	a.Students, a.Next, err = read.Cut(moved[:min(len(moved), limit+1)], limit,
		func(m Moved) moveCursor { return moveCursor{m.On, m.StudentID} })
	if err != nil {
		return err
	}
	ids := make([]string, len(a.Students))
	for i := range a.Students {
		ids[i] = a.Students[i].StudentID
	}
	names, err := Names(ctx, tx, scope.School, ids, scope.Today)
	for i := range a.Students {
		n := names[a.Students[i].StudentID]
		a.Students[i].GivenName, a.Students[i].FamilyName = n.GivenName, n.FamilyName
	}
	return err
}
