package timeline

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/fees"
	"github.com/schoolbell/schoolbell/projections/performance"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Queries are those of the lines.
var Queries = []query.Endpoint{
	query.Query[input, Timeline]{
		Name:    "student-timeline",
		Path:    "/students/{id}/timeline",
		Summary: "What happened to a student",
		Description: "The newest first, a page at a time. Guardians and students see a score " +
			"once the results of its class's term are published; teachers see no fees and no reasons " +
			"of absences, and the office no marks.",
		Reads: []*projections.Projection{
			Projection, performance.Projection, students.Projection, fees.Projection,
		},
		TTL:     time.Minute,
		Roles:   []query.Role{query.Admin, query.Office, query.Teacher},
		ByScope: true,
		Own:     func(in *input) string { return in.StudentID },
		Indexes: []query.Index{
			{
				Name: "timeline_pkey", Statement: "timeline.list",
				Request: "/students/student-0007/timeline",
			},
			{
				Name: "timeline_pkey", Statement: "timeline.list",
				Request: "/students/student-0007/timeline", Own: true,
			},
		},
		Run: list,
	},
}

// input selects a timeline, and a page of it.
type input struct {
	StudentID string `path:"id" maxLength:"128"`
	Before    string `query:"before" maxLength:"2048" doc:"The next of the previous page"`
	Limit     int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Lines on a page"`
}

// Timeline is a page of the timeline.
type Timeline struct {
	Lines []Line `json:"lines"`
	Next  string `json:"next,omitzero" doc:"Pass it as before to get older lines; absent on the last page"`
}

// Line is one thing that happened.
type Line struct {
	Offset   int64          `json:"offset" doc:"Where the event stands in the school's partition of the log"`
	Type     string         `json:"type" doc:"The event's type, in its newest version"`
	Time     time.Time      `json:"time"`
	Data     jsontext.Value `json:"data" doc:"What to show of it, under the names of the event"`
	Conflict bool           `json:"conflict,omitzero" doc:"The id of this invoice, payment or other entry came with several contents, of which the later holds: see the account"`

	fact string
}

const listSQL read.SQL = `-- timeline.list
SELECT position, fact, at,
	CASE WHEN fact = ANY($6) THEN (data::jsonb - 'reason')::text ELSE data END
FROM timeline t
WHERE school = $1 AND student_id = $2 AND position < $3 AND fact <> ALL($5) /*where*/
ORDER BY position DESC LIMIT $4`

// published leaves out scores and remarks that are not published yet.
const published = `(fact NOT IN ('assessment.scored', 'assessment.score_corrected',
	'assessment.unscored', 'assessment.remarked')
	OR EXISTS (
		SELECT FROM published_results p WHERE p.school = $1
		AND p.class_id = t.data::jsonb ->> 'class_id'
			AND p.school_year = school_year(t.data::jsonb ->> 'year') AND p.term = t.data::jsonb ->> 'term'))`

const newest = int64(1<<63 - 1)

func list(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) (*Timeline, error) {
	before, err := read.ParseCursor[int64](in.Before)
	if err != nil {
		return nil, err
	}
	position := newest
	if before != nil {
		position = *before
	}
	limit := read.Page(in.Limit, 50, 500)
	see := scope.Access.Of(in.StudentID)
	unexplained := []string{}
	if !see.Has(access.Reasons) {
		unexplained = withReason
	}
	statement := listSQL.With(read.If(!see.Has(access.Drafts), published))
	lines, err := read.All(ctx, tx, statement, func(l *Line) []any {
		return []any{&l.Offset, &l.fact, &l.Time, (*[]byte)(&l.Data)}
	}, scope.School, in.StudentID, position, limit+1, withheld(scope.Access.Audiences(in.StudentID)), unexplained)
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 && before == nil {
		if _, err := students.One(ctx, tx, scope.School, in.StudentID, scope.Today); err != nil {
			return nil, err // most likely, that there is no such student
		}
	}
	for i := range lines {
		lines[i].Type = types[lines[i].fact]
		lines[i].Time = lines[i].Time.UTC()
	}
	if err := contradicted(ctx, tx, scope.School, lines); err != nil {
		return nil, err
	}
	a := &Timeline{}
	a.Lines, a.Next, err = read.Cut(lines, limit, func(l Line) int64 { return l.Offset })
	return a, err
}

// contradicted marks the lines of facts about money whose ids came with several contents.
func contradicted(ctx context.Context, tx pgx.Tx, school string, lines []Line) error {
	isMoney := func(l Line) bool { return strings.HasPrefix(l.fact, "fee.") }
	if !slices.ContainsFunc(lines, isMoney) {
		return nil
	}
	positions, err := fees.Contradicted(ctx, tx, school)
	for i := range lines {
		lines[i].Conflict = isMoney(lines[i]) && positions[lines[i].Offset]
	}
	return err
}

// withReason are the facts whose lines say why.
var withReason = []string{"attendance.marked", "attendance.corrected", "student.withdrawn"}

// shown holds the facts whose lines an audience sees: those that the domain shows it whole, and
// those whose lines hold no more than the domain shows it.
var shown = map[domain.Audience][]string{
	domain.Administration: shownTo(domain.Administration),
	domain.Office:         shownTo(domain.Office),
	domain.Teaching: append(shownTo(domain.Teaching), "attendance.marked", "attendance.corrected",
		"student.withdrawn", "document.rendered"),
	// of scores those that are published
	domain.Family: append(shownTo(domain.Family), "guardian.linked", "assessment.scored",
		"assessment.score_corrected", "assessment.unscored", "assessment.remarked"),
	domain.Accounts: append(shownTo(domain.Accounts), "guardian.linked"),
}

func shownTo(a domain.Audience) (facts []string) {
	for _, f := range catalog.Facts() {
		e := f.New()
		if f.Timeline && domain.See(e, a) == e {
			facts = append(facts, names[reflect.TypeOf(e)])
		}
	}
	return facts
}

// withheld returns the facts whose lines none of the audiences sees.
func withheld(from domain.Audiences) []string {
	facts := []string{} // not nil, which is NULL in SQL
	for _, name := range names {
		seen := false
		for a, seenBy := range shown {
			seen = seen || from.Has(a) && slices.Contains(seenBy, name)
		}
		if !seen {
			facts = append(facts, name)
		}
	}
	slices.Sort(facts)
	return facts
}

// types holds the newest wire name of each fact.
var types = func() map[string]string {
	m := map[string]string{}
	for _, f := range catalog.Facts() {
		if f.Timeline {
			m[names[reflect.PointerTo(f.GoType())]] = f.Type
		}
	}
	return m
}()
