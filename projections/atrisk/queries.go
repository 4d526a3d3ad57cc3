package atrisk

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/attendance"
	"github.com/schoolbell/schoolbell/projections/fees"
	"github.com/schoolbell/schoolbell/projections/performance"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

// Queries are those for students at risk.
var Queries = []query.Endpoint{
	query.Query[input, Students]{
		Name:    "at-risk",
		Path:    "/analytics/at-risk",
		Summary: "Students who may need help",
		Description: "Students who are chronically absent in the current school year, as in the " +
			"analytics of attendance, have an average below 50 % in the latest year, or overdue fees, " +
			"the most urgent first. The score is up to 40 for attendance and for marks, by how far " +
			"they are below, and up to 20 for fees, by how long they are overdue: full after 90 days. " +
			"What the caller may not see is no reason, and in no score: for teachers the fees, for " +
			"the office the marks. Teachers see their own students.",
		Reads: append([]*projections.Projection{
			Projection, performance.Projection, fees.Projection,
		}, attendance.Models()...),
		TTL:     5 * time.Minute,
		Roles:   []query.Role{query.Admin, query.Office, query.Teacher},
		ByScope: true,
		Indexes: []query.Index{
			{Name: "at_risk_pkey", Statement: "at_risk.list", Request: "/analytics/at-risk"},
		},
		Run: list,
	},
}

// The reasons.
const (
	Attendance = "attendance"
	Marks      = "marks"
	Fees       = "fees"
)

// input selects students.
type input struct {
	Reason string `query:"reason" enum:"attendance,marks,fees" doc:"Only students with this reason"`
	Class  string `query:"class" maxLength:"128" doc:"Only students of this home class"`
	After  string `query:"after" maxLength:"2048" doc:"The next of the previous page"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Students on a page"`
}

// Students is a page of students.
type Students struct {
	Students []Student `json:"students"`
	Next     string    `json:"next,omitzero" doc:"Pass it as after to get the next page; absent on the last one"`
}

// Student is one who may need help, and why. Numbers without a reason are absent.
type Student struct {
	StudentID      string          `json:"student_id"`
	GivenName      string          `json:"given_name"`
	FamilyName     string          `json:"family_name"`
	ClassID        string          `json:"class_id"`
	Score          int             `json:"score" doc:"0 to 100; the higher, the more urgent"`
	Reasons        []string        `json:"reasons" doc:"attendance, marks, fees"`
	AttendanceRate *float64        `json:"attendance_rate,omitzero" doc:"Of the current school year, of those who are chronically absent"`
	Average        *float64        `json:"average,omitzero" doc:"In percent, when it is below 50"`
	OverdueSince   domain.Date     `json:"overdue_since,omitzero" doc:"When the first invoice was due that the account owes after its credit was applied"`
	Overdue        []fees.Currency `json:"overdue,omitzero" doc:"What the account owes, after its credit was applied, that was due before today"`

	isAbsent bool
	isLow    bool
	dueOn    domain.Date
	balances []fees.Balance
	open     []fees.OpenInvoice
}

// cursor is where a page ends.
type cursor struct {
	Score     int    `json:"p"`
	StudentID string `json:"s"`
}

// The score is made of integers, so that a page can end anywhere in it: 40 · (0.9 - rate) / 0.9, 40
// · (50 - average) / 50 and 20 · days / 90. The lists are of the students whose attendance, marks and
// fees the caller may see; NULL is all. Low averages come as parameters, in units of 10⁻¹².
const listSQL read.SQL = `-- at_risk.list
WITH absent AS (
	SELECT student_id COLLATE "C" AS student_id, urgency
	FROM unnest($10::text[], $11::bigint[]) AS a (student_id, urgency)
	WHERE $5::text[] IS NULL OR student_id = ANY($5)
), low AS (
	SELECT student_id COLLATE "C" AS student_id, average
	FROM unnest($8::text[], $9::bigint[]) AS l (student_id, average)
	WHERE $6::text[] IS NULL OR student_id = ANY($6)
), owing AS (
	SELECT student_id, due_on FROM at_risk
	WHERE school = $1 AND ($7::text[] IS NULL OR student_id = ANY($7))
), risks AS (
	SELECT student_id, urgency, average, due_on,
		coalesce(urgency, 0) +
		CASE WHEN average IS NOT NULL THEN 40 * (500000000000 - average) / 500000000000 ELSE 0 END +
		CASE WHEN due_on < $2 THEN 20 * least($2::date - due_on, 90) / 90 ELSE 0 END AS score
	FROM owing FULL JOIN low USING (student_id) FULL JOIN absent USING (student_id)
	WHERE (urgency IS NOT NULL OR average IS NOT NULL OR due_on < $2) /*among*/ /*where*/
)
SELECT r.student_id, coalesce(s.given_name, ''), coalesce(s.family_name, ''),
	coalesce(s.class_id, ''), r.score, r.urgency IS NOT NULL, r.average IS NOT NULL, r.due_on,
	coalesce(a.balances, '[]'),
	coalesce(a.open_invoices, '[]')
FROM risks r
LEFT JOIN student_names($4) s ON s.school = $1 AND s.student_id = r.student_id
LEFT JOIN open_invoices a ON a.school = $1 AND a.student_id = r.student_id
WHERE coalesce(s.status, '') NOT IN ('withdrawn', 'expected') /*page*/
ORDER BY r.score DESC, r.student_id LIMIT $3`

// conditions of the reasons.
var conditions = map[string]string{
	Attendance: "urgency IS NOT NULL",
	Marks:      "average IS NOT NULL",
	Fees:       "due_on < $2",
}

// lows are students with low averages, as parameters.
func lows(of []performance.Low) (ids []string, averages []int64) {
	ids, averages = make([]string, len(of)), make([]int64, len(of))
	for i, low := range of {
		ids[i], averages[i] = low.StudentID, low.Key
	}
	return ids, averages
}

func list(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) (*Students, error) {
	after, err := read.ParseCursor[cursor](in.After)
	if err != nil {
		return nil, err
	}
	limit, see := read.Page(in.Limit, 50, 500), &scope.Access
	latest, err := performance.LatestYear(ctx, tx, scope)
	if err != nil {
		return nil, err
	}
	ids, averages := lows(latest.Low)
	absent, err := attendance.ChronicallyAbsent(ctx, tx, &scope)
	if err != nil {
		return nil, err
	}
	absentIDs, urgency := absentees(absent)
	args := []any{
		scope.School, scope.Today, limit + 1, scope.Today, see.Among(access.Attendance),
		see.Among(access.Marks | access.Drafts), see.Among(access.Fees), ids, averages,
		absentIDs, urgency,
	}
	var page []string
	among := ""
	if ids := see.Among(access.Names); ids != nil {
		args = append(args, ids)
		among = fmt.Sprintf("student_id = ANY($%d)", len(args))
	}
	if in.Class != "" {
		args = append(args, in.Class)
		page = append(page, fmt.Sprintf("s.class_id = $%d", len(args)))
	}
	if after != nil {
		args = append(args, after.Score, after.StudentID)
		page = append(page,
			fmt.Sprintf("(-r.score, r.student_id) > (-$%d::int, $%d)", len(args)-1, len(args)))
	}
	found, err := read.All(ctx, tx, listSQL.With(conditions[in.Reason]).Put("page", page...).Put("among", among),
		func(s *Student) []any {
			return []any{
				&s.StudentID, &s.GivenName, &s.FamilyName, &s.ClassID, &s.Score,
				&s.isAbsent, &s.isLow, &s.dueOn, &s.balances,
				&s.open,
			}
		}, args...)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i].explain(scope.Today, absent, latest.Low)
	}
	a := &Students{}
	a.Students, a.Next, err = read.Cut(found, limit,
		func(s Student) cursor { return cursor{s.Score, s.StudentID} })
	return a, err
}

// explain turns the numbers of the row into reasons.
func (s *Student) explain(
	today domain.Date, absent []attendance.Absentee, low []performance.Low,
) {
	if s.isAbsent {
		s.Reasons = append(s.Reasons, Attendance)
		at, _ := slices.BinarySearchFunc(absent, s.StudentID,
			func(a attendance.Absentee, id string) int { return cmp.Compare(a.StudentID, id) })
		s.AttendanceRate = &absent[at].Rate
	}
	if s.isLow {
		s.Reasons = append(s.Reasons, Marks)
		at, _ := slices.BinarySearchFunc(low, s.StudentID,
			func(l performance.Low, id string) int { return cmp.Compare(l.StudentID, id) })
		s.Average = &low[at].Average
	}
	if !s.dueOn.IsZero() && s.dueOn < today {
		s.Reasons = append(s.Reasons, Fees)
		s.OverdueSince = s.dueOn
		s.Overdue = fees.Overdue(fees.Net(s.balances, s.open), today)
	}
}

// absentees are students who are absent too often, as parameters: 40 · (0.9 - rate) / 0.9 is how
// urgent that is.
func absentees(of []attendance.Absentee) (ids []string, urgency []int64) {
	ids, urgency = make([]string, len(of)), make([]int64, len(of))
	for i, a := range of {
		of := new(big.Rat).Sub(a.Missed, big.NewRat(1, 10))
		of.Mul(of, big.NewRat(400, 9))
		ids[i], urgency[i] = a.StudentID, max(new(big.Int).Quo(of.Num(), of.Denom()).Int64(), 0)
	}
	return ids, urgency
}

const countSQL read.SQL = `-- at_risk.count
SELECT count(*), count(urgent), count(low), count(due_on)
FROM (SELECT student_id, due_on FROM at_risk WHERE school = $1 AND due_on < $2) owing
FULL JOIN (SELECT student_id COLLATE "C" AS student_id, true AS low
	FROM unnest($3::text[]) AS l (student_id)) lows USING (student_id)
FULL JOIN (SELECT student_id COLLATE "C" AS student_id, true AS urgent
	FROM unnest($4::text[]) AS a (student_id)) absent USING (student_id)
WHERE NOT EXISTS (
	SELECT FROM student_names($2) s WHERE s.school = $1 AND s.student_id = coalesce(
		owing.student_id, lows.student_id, absent.student_id)
	AND s.status IN ('withdrawn', 'expected'))`

// Counts are numbers of students at risk.
type Counts struct {
	Students   int64 `json:"students" doc:"With at least one reason"`
	Attendance int64 `json:"attendance"`
	Marks      int64 `json:"marks"`
	Fees       int64 `json:"fees"`
}

// Count returns how many students of a school are at risk, given those with low averages: none for
// callers who may not see marks.
func Count(
	ctx context.Context, tx pgx.Tx, scope query.Scope, low []performance.Low,
) (Counts, error) {
	absent, err := attendance.ChronicallyAbsent(ctx, tx, &scope)
	if err != nil {
		return Counts{}, err
	}
	ids, _ := lows(low)
	absentIDs, _ := absentees(absent)
	c, _, err := read.One(ctx, tx, countSQL, func(c *Counts) []any {
		return []any{&c.Students, &c.Attendance, &c.Marks, &c.Fees}
	}, scope.School, scope.Today, ids, absentIDs)
	return c, err
}
