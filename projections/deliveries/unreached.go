package deliveries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// unreachedQuery is the office's list of families to ring.
var unreachedQuery = query.Query[unreachedInput, Unreached]{
	Name:    "unreached",
	Path:    "/deliveries/unreached",
	Summary: "Families to ring: whom today's messages did not reach",
	Description: "Students about whom a message of today, by the school's clock, has failed, with " +
		"the reason and everybody who can be rung. A family is not in the list when the same " +
		"message has reached somebody of it or is still under way; a message in the inbox of the " +
		"app alone does not count as having reached anybody.",
	Reads: []*projections.Projection{Projection, students.Projection},
	Roles: []query.Role{query.Admin, query.Office},
	Indexes: []query.Index{
		{
			Name: "deliveries_failed_at", Statement: "deliveries.unreached_students",
			Request: "/deliveries/unreached",
		},
		{
			Name: "ledger_by_event", Statement: "deliveries.unreached_students",
			Request: "/deliveries/unreached",
		},
		{
			Name: "deliveries_failed_at", Statement: "deliveries.unreached",
			Request: "/deliveries/unreached",
		},
	},
	Run: unreached,
}

// unreachedInput selects families.
type unreachedInput struct {
	After string `query:"after" maxLength:"2048" doc:"The next of the previous page"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"Families on a page"`
}

// Unreached is a page of families to ring.
type Unreached struct {
	On       domain.Date `json:"on" doc:"The school's day"`
	Families []Family    `json:"families"`
	Next     string      `json:"next,omitzero" doc:"Pass it as after to get the next page; absent on the last one"`
}

// Family is a student whose family was not reached, with whoever can be rung.
type Family struct {
	StudentID  string             `json:"student_id"`
	GivenName  string             `json:"given_name"`
	FamilyName string             `json:"family_name"`
	ClassID    string             `json:"class_id" doc:"The home class"`
	Messages   []Missed           `json:"messages" doc:"What did not arrive, the latest first"`
	Guardians  []students.Contact `json:"guardians" doc:"The primary ones first"`
}

// Missed is a message that did not arrive.
type Missed struct {
	DeliveryID string    `json:"delivery_id"`
	Rule       string    `json:"rule"`
	Event      string    `json:"event" doc:"The id of the event that caused it"`
	Channel    string    `json:"channel"`
	Recipient  string    `json:"recipient" doc:"The id of the guardian or student"`
	Error      string    `json:"error" doc:"Why it did not arrive"`
	FailedAt   time.Time `json:"failed_at"`

	student string
}

// missedSQL are the messages that failed since an instant, for good or in all attempts, and whose family
// was not reached in another way.
const missedSQL = `FROM deliveries d JOIN delivery_plans l ON l.school = $1 AND l.id = d.delivery_id
WHERE d.school = $1 AND d.status = 'failed' AND d.failed_at >= $2
	AND l.state IN ('failed', 'dead') AND l.student <> '' AND l.channel NOT IN ('pdf', 'in_app')
	AND NOT EXISTS (SELECT FROM delivery_plans o WHERE o.school = $1 AND o.event_id = l.event_id
		AND o.planner = l.planner AND o.student = l.student AND o.channel NOT IN ('pdf', 'in_app')
		AND o.state IN ('planned', 'sending', 'unknown', 'sent', 'delivered'))`

const unreachedStudentsSQL read.SQL = `-- deliveries.unreached_students
SELECT DISTINCT l.student ` + missedSQL + ` AND l.student > $3 ORDER BY l.student LIMIT $4`

const unreachedSQL read.SQL = `-- deliveries.unreached
SELECT l.student, d.delivery_id, l.planner, l.event_id, d.channel, d.recipient, d.error, d.failed_at
` + missedSQL + ` AND l.student = ANY ($3)
ORDER BY l.student, d.failed_at DESC, d.delivery_id`

func unreached(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *unreachedInput,
) (*Unreached, error) {
	after, err := read.ParseCursor[string](in.After)
	if err != nil {
		return nil, err
	}
	if after == nil {
		after = new(string)
	}
	limit := read.Page(in.Limit, 100, 500)
	y, m, d := scope.Today.Time().Date()
	morning := time.Date(y, m, d, 0, 0, 0, 0, scope.Settings.Location())
	ids, err := read.All(ctx, tx, unreachedStudentsSQL,
		func(id *string) []any { return []any{id} }, scope.School, morning, *after, limit+1)
	if err != nil {
		return nil, err
	}
	u := &Unreached{On: scope.Today, Families: []Family{}}
	ids, u.Next, err = read.Cut(ids, limit, func(id string) string { return id })
	if err != nil || len(ids) == 0 {
		return u, err
	}
	missed, err := read.All(ctx, tx, unreachedSQL, func(m *Missed) []any {
		return []any{
			&m.student, &m.DeliveryID, &m.Rule, &m.Event, &m.Channel, &m.Recipient, &m.Error,
			&m.FailedAt,
		}
	}, scope.School, morning, ids)
	if err != nil {
		return nil, err
	}
	names, err := students.Names(ctx, tx, scope.School, ids, scope.Today)
	if err != nil {
		return nil, err
	}
	guardians, err := students.Guardians(ctx, tx, scope.School, ids, scope.Today)
	if err != nil {
		return nil, err
	}
	for _, m := range missed {
		if n := len(u.Families); n == 0 || u.Families[n-1].StudentID != m.student {
			name := names[m.student]
			u.Families = append(u.Families, Family{
				StudentID: m.student, GivenName: name.GivenName, FamilyName: name.FamilyName,
				ClassID: name.ClassID, Guardians: guardians[m.student],
			})
		}
		f := &u.Families[len(u.Families)-1]
		m.FailedAt = m.FailedAt.UTC()
		f.Messages = append(f.Messages, m)
	}
	return u, nil
}
