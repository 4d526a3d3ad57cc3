package attendance

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/domain/presence"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Student is the attendance of one.
type Student struct {
	StudentID  string `json:"student_id"`
	GivenName  string `json:"given_name"`
	FamilyName string `json:"family_name"`
	ClassID    string `json:"class_id" doc:"The home class that the student is in now"`
	Rates
	Chronic bool `json:"chronic" doc:"Absent 10 % or more of at least 10 days in membership, or what the school has decided"`
	Severe  bool `json:"severe" doc:"The same for 50 %"`
	presence.Streaks
}

// missing is a student with the part of the membership that was missed.
type missing struct {
	id string
	*pupil
	missed *big.Rat
}

// cursor is where a page ends.
type cursor struct {
	Missed    string `json:"m"`
	StudentID string `json:"s"`
}

func (m *missing) compare(o *missing) int {
	if c := o.missed.Cmp(m.missed); c != 0 {
		return c
	}
	return strings.Compare(m.id, o.id)
}

// pupils returns the students with a rate, who missed most first. Who has left, or is not at the
// school yet, is among them only if left says so.
func (b *basis) pupils(m *measured, left bool) []missing {
	var all []missing
	if !b.HasRates() {
		return nil
	}
	for id, p := range m.students {
		of := p.Membership.Rat()
		away := b.homes.Stays(id) != nil && b.homes.Attends(id, b.Today) == ""
		if of.Sign() > 0 && (left || !away) {
			all = append(all, missing{id, p, of.Quo(p.Absent.Rat(), of)})
		}
	}
	slices.SortFunc(all, func(x, y missing) int { return x.compare(&y) })
	return all
}

// list adds the lists of students, and the counts of them.
func (a *Report) list(
	ctx context.Context, tx pgx.Tx, b *basis, m *measured, in *input,
) (err error) {
	all := b.pupils(m, in.Left)
	a.Bands = bands(all)
	var chronic []missing
	for _, p := range all {
		if !b.IsChronic(&p.Record) {
			continue
		}
		chronic = append(chronic, p)
		if b.IsSevere(&p.Record) {
			a.SevereCount++
		}
	}
	a.ChronicCount = int64(len(chronic))
	limit := read.Page(in.Limit, 200, 1000)
	a.Chronic, a.ChronicNext, err = b.page(ctx, tx, in.Class, chronic, in.ChronicAfter, limit)
	if err == nil && in.ByStudent {
		a.ByStudent, a.ByStudentNext, err = b.page(ctx, tx, in.Class, all, in.After, limit)
	}
	return err
}

const bandWidth = 5 // percent

// bands counts students by their rate. One who is on a bound is in the band above it, and one who
// missed nothing in the last.
func bands(all []missing) []Band {
	of := make([]Band, 100/bandWidth)
	for i := range of {
		of[i].From, of[i].To = bandWidth*i, bandWidth*(i+1)
	}
	for _, p := range all {
		there := new(big.Rat).Sub(big.NewRat(1, 1), p.missed)
		there.Mul(there, big.NewRat(int64(len(of)), 1))
		i := new(big.Int).Quo(there.Num(), there.Denom()).Int64()
		of[max(min(i, int64(len(of))-1), 0)].Students++
	}
	return slices.DeleteFunc(of, func(b Band) bool { return b.Students == 0 })
}

// page shows those of a list whom the caller may see, from a cursor on.
func (b *basis) page(
	ctx context.Context, tx pgx.Tx, class string, all []missing, after string, limit int,
) (page []Student, next string, err error) {
	end, err := read.ParseCursor[cursor](after)
	if err != nil {
		return nil, "", err
	}
	if end != nil {
		missed, ok := new(big.Rat).SetString(end.Missed)
		if !ok {
			return nil, "", fmt.Errorf("%w: %.40q is not a cursor of this query", query.ErrInput, after)
		}
		last := missing{id: end.StudentID, missed: missed}
		all = slices.DeleteFunc(slices.Clone(all),
			func(m missing) bool { return m.compare(&last) <= 0 })
	}
	if among := b.scope.Access.Among(access.Names | access.Attendance); among != nil {
		all = slices.DeleteFunc(slices.Clone(all),
			func(m missing) bool { return !slices.Contains(among, m.id) })
	}
	all, next, err = read.Cut(all[:min(len(all), limit+1)], limit,
		func(m missing) cursor { return cursor{m.missed.RatString(), m.id} })
	if err != nil {
		return nil, "", err
	}
	page, err = b.show(ctx, tx, class, all)
	return page, next, err
}

// show adds names and streaks.
func (b *basis) show(
	ctx context.Context, tx pgx.Tx, class string, of []missing,
) ([]Student, error) {
	page := make([]Student, len(of))
	if len(of) == 0 {
		return page, nil
	}
	ids := make([]string, len(of))
	for i := range of {
		ids[i] = of[i].id
	}
	named, err := students.Names(ctx, tx, b.scope.School, ids, b.Today)
	if err != nil {
		return nil, err
	}
	marks, err := b.allMarks(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	for i := range of {
		m := &of[i]
		n := named[m.id] // none for a student who has marks and was never enrolled
		page[i] = Student{
			StudentID: m.id, GivenName: n.GivenName, FamilyName: n.FamilyName, ClassID: n.ClassID,
			Rates:   b.rates(&totals{Record: m.Record}),
			Chronic: b.IsChronic(&m.Record), Severe: b.IsSevere(&m.Record),
		}
		theirs := marks[m.id]
		if b.isSection(class) {
			theirs = slices.DeleteFunc(theirs,
				func(k presence.Mark) bool { return k.ClassID != class })
		}
		page[i].Streaks = b.Streaks(m.stays, theirs)
	}
	return page, nil
}

// allMarks reads all marks of students in the window.
func (b *basis) allMarks(
	ctx context.Context, tx pgx.Tx, ids []string,
) (map[string][]presence.Mark, error) {
	marks := map[string][]presence.Mark{}
	err := eachMark(ctx, tx, ofStudentsSQL, b.From, b.To,
		func(id string, date domain.Date, k *mark) { marks[id] = append(marks[id], k.on(date)) },
		b.scope.School, ids, b.From.Month(), b.To.Month())
	return marks, err
}

// on is the mark as the domain counts it.
func (m *mark) on(date domain.Date) presence.Mark {
	return presence.Mark{
		Date: date, ClassID: m.class,
		Session: presence.Session{Session: m.session, Status: m.status},
	}
}

// Absentee is a student who is enrolled and chronically absent.
type Absentee struct {
	StudentID string
	Missed    *big.Rat // of the days in membership
	Rate      float64
}

// ChronicallyAbsent returns the students who are chronically absent in the current school year, by
// id. No caller is looked at: whoever shows them leaves out whom the caller may not see.
func ChronicallyAbsent(
	ctx context.Context, tx pgx.Tx, scope *query.Scope,
) (all []Absentee, err error) {
	b, err := prepare(ctx, tx, scope, 0, 0, "")
	if err != nil {
		return nil, err
	}
	m, err := b.measure(ctx, tx, "")
	if err != nil {
		return nil, err
	}
	for _, p := range b.pupils(m, false) {
		if b.IsChronic(&p.Record) {
			all = append(all, Absentee{p.id, p.missed, *p.Rate()})
		}
	}
	slices.SortFunc(all, func(x, y Absentee) int { return strings.Compare(x.StudentID, y.StudentID) })
	return all, nil
}
