package students

import (
	"context"
	"time"
	"unique"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/read"
)

// Roster is the whole directory of a school as an import compares with it: of everything what holds
// on a day or, when nothing does, what will hold next or has ended last.
type Roster struct {
	Profile     *Profile // nil: the school was never described
	Classes     map[string]RosterClass
	Students    map[string]RosterStudent
	Staff       map[string]RosterStaff
	Guardians   map[string]RosterGuardian
	Links       map[RosterLinkKey]RosterLink
	Memberships map[string]RosterMembership
}

// Held is when something of the directory holds, and whose it is.
type Held struct {
	Source string // of the event that made it
	// Holds says that it holds on the day, or will from a later one.
	Holds bool
	// From is when that began; To is when it ends or, of what holds no longer, when it ended. Zero
	// is open.
	From, To domain.Date

	statements history // of students and memberships about which more was said than that they begin
}

// When returns when it holds.
func (h Held) When() Held { return h }

// StartsAfter returns the days after a day from which on it was said to hold. While it holds anyway
// that changes nothing; once it ends before, it would begin again.
func (h Held) StartsAfter(day domain.Date) []domain.Date { return h.saidAfter(day, starts) }

// EndsAfter returns the days after a day on which it was said to end. Those that were corrected end
// it all the same once it begins again before.
func (h Held) EndsAfter(day domain.Date) []domain.Date { return h.saidAfter(day, ends) }

func (h Held) saidAfter(day domain.Date, k kind) (days []domain.Date) {
	for i := range h.statements {
		s := &h.statements[i]
		if s.On > day && s.Kind == k && !h.statements.overruled(i, (*statement).presence) {
			days = append(days, s.On)
		}
	}
	return days
}

// DayOf returns the day from which on a fact holds that names none, as guardian.linked.
func DayOf(t time.Time) domain.Date { return dayOf(t) }

// Profile is how a school describes itself.
type Profile struct{ Source, Name, Identifier, Type, District string }

// RosterClass is a class that was defined.
type RosterClass struct {
	Held
	Title, Kind, Course, Room string
	Subjects, Grades, Terms   []string
	Year                      domain.Label
}

// RosterStudent is a student.
type RosterStudent struct {
	Held
	GivenName, FamilyName, PreferredName, Email string
	BirthDate                                   domain.Date
	ClassID                                     string
	GradeLevel                                  domain.Label
}

// RosterStaff is a member of staff.
type RosterStaff struct {
	Held
	Name, Role, Email  string
	ClassIDs, Subjects []string
}

// RosterGuardian is how to reach a guardian, and which source says so.
type RosterGuardian struct {
	Source                       string
	Linked                       bool // that source links the guardian to a student
	Name, Phone, Email, Language string
}

// RosterLinkKey names the link of a student and a guardian.
type RosterLinkKey struct{ StudentID, GuardianID string }

// RosterLink is what a guardian is to a student.
type RosterLink struct {
	Held
	Relation string
	Primary  bool
}

// RosterMembership is the membership of a person in a class.
type RosterMembership struct {
	Held
	ClassID, PersonID, Role string
	Primary                 bool
}

// rosterRow is a row with its key.
type rosterRow[K comparable, V any] struct {
	key K
	row V
}

// all reads rows into a map.
func all[K comparable, V any](
	ctx context.Context, tx pgx.Tx, s read.SQL, into func(*K, *V) []any, args ...any,
) (map[K]V, error) {
	by := make(map[K]V)
	err := read.Each(ctx, tx, s, func(r *rosterRow[K, V]) []any {
		return into(&r.key, &r.row)
	}, func(r rosterRow[K, V]) { by[r.key] = r.row }, args...)
	return by, err
}

// shared is a text that many rows have: they share one copy of it.
type shared string

// ScanText implements [pgtype.TextScanner].
func (s *shared) ScanText(v pgtype.Text) error {
	*s = shared(unique.Make(v.String).Value())
	return nil
}

// One span of each thing: the one that holds or comes next, else the last one that has ended. A
// span that has not ended on the day sorts first, and of several the earliest; of those that have
// ended, the latest.
const nearest = `ends IS NULL OR ends > $2`

const rosterStudentsSQL read.SQL = `-- students.roster_students
SELECT DISTINCT ON (s.student_id) s.student_id, s.source, e.starts IS NOT NULL AND (` + nearest + `),
	e.enrolled_on, e.withdrawn_on, h.statements, s.given_name, s.family_name, s.preferred_name,
	s.email, s.birth_date, coalesce(e.class_id, s.class_id), s.grade_level
FROM students s LEFT JOIN enrolments e ON e.school = s.school AND e.student_id = s.student_id
LEFT JOIN directory_history h ON h.school = $1 AND h.kind = 'student' AND h.id = s.student_id
	AND h.other = '' AND jsonb_array_length(h.statements) > 1
WHERE s.school = $1
ORDER BY s.student_id, (` + nearest + `) DESC,
	CASE WHEN ` + nearest + ` THEN e.starts END, e.starts DESC`

const rosterClassesSQL read.SQL = `-- students.roster_classes
SELECT class_id, source, closed_on IS NULL OR closed_on > $2, closed_on, title, kind, course, room,
	subjects, grades, terms, year
FROM classes WHERE school = $1`

const rosterStaffSQL read.SQL = `-- students.roster_staff
SELECT DISTINCT ON (s.staff_id) s.staff_id, s.source, s.left_on IS NULL OR s.left_on > $2,
	s.left_on, s.name, s.role, s.email, coalesce(a.class_ids, '[]'), s.subjects
FROM staff s LEFT JOIN assignments a ON a.school = s.school AND a.staff_id = s.staff_id
WHERE s.school = $1
ORDER BY s.staff_id, (` + nearest + `) DESC,
	CASE WHEN ` + nearest + ` THEN a.starts END, a.starts DESC`

const rosterGuardiansSQL read.SQL = `-- students.roster_guardians
SELECT guardian_id, source, name, phone, email, language, EXISTS (
	SELECT FROM student_guardians l WHERE l.school = $1 AND l.guardian_id = g.guardian_id
		AND l.source = g.source AND (l.ends IS NULL OR l.ends > $2))
FROM guardians g WHERE school = $1`

const rosterLinksSQL read.SQL = `-- students.roster_links
SELECT DISTINCT ON (student_id, guardian_id) student_id, guardian_id, source, ` + nearest + `,
	starts, ends, relation, is_primary
FROM student_guardians WHERE school = $1
ORDER BY student_id, guardian_id, (` + nearest + `) DESC,
	CASE WHEN ` + nearest + ` THEN starts END, starts DESC`

// A membership that ended on the day on which it began has a history and no row.
const rosterMembershipsSQL read.SQL = `-- students.roster_memberships
SELECT DISTINCT ON (h.id) h.id, coalesce(source, ''), starts IS NOT NULL AND (` + nearest + `),
	starts, ends, CASE WHEN jsonb_array_length(h.statements) > 1 THEN h.statements END,
	coalesce(class_id, ''), coalesce(person_id, ''), coalesce(role, ''), coalesce(is_primary, false)
FROM directory_history h LEFT JOIN memberships m ON m.school = $1 AND m.membership_id = h.id
WHERE h.school = $1 AND h.kind = 'membership'
ORDER BY h.id, (` + nearest + `) DESC, CASE WHEN ` + nearest + ` THEN starts END, starts DESC`

const rosterProfileSQL read.SQL = `-- students.roster_profile
SELECT source, name, identifier, type, district FROM school_profiles WHERE school = $1`

// RosterOf reads the directory of a school as it is on a day.
func RosterOf(ctx context.Context, tx pgx.Tx, school string, on domain.Date) (*Roster, error) {
	var r Roster
	var err error
	if r.Students, err = all(ctx, tx, rosterStudentsSQL, func(id *string, s *RosterStudent) []any {
		return []any{
			id, &s.Source, &s.Holds, &s.From, &s.To, &s.statements, &s.GivenName, &s.FamilyName,
			&s.PreferredName, &s.Email, &s.BirthDate, &s.ClassID, &s.GradeLevel,
		}
	}, school, on); err != nil {
		return nil, err
	}
	if r.Classes, err = all(ctx, tx, rosterClassesSQL, func(id *string, c *RosterClass) []any {
		return []any{
			id, &c.Source, &c.Holds, &c.To, &c.Title, &c.Kind, &c.Course, &c.Room, &c.Subjects,
			&c.Grades, &c.Terms, &c.Year,
		}
	}, school, on); err != nil {
		return nil, err
	}
	if r.Staff, err = all(ctx, tx, rosterStaffSQL, func(id *string, s *RosterStaff) []any {
		return []any{
			id, &s.Source, &s.Holds, &s.To, &s.Name, &s.Role, &s.Email, &s.ClassIDs, &s.Subjects,
		}
	}, school, on); err != nil {
		return nil, err
	}
	if r.Guardians, err = all(ctx, tx, rosterGuardiansSQL,
		func(id *string, g *RosterGuardian) []any {
			return []any{id, &g.Source, &g.Name, &g.Phone, &g.Email, &g.Language, &g.Linked}
		}, school, on); err != nil {
		return nil, err
	}
	if r.Links, err = all(ctx, tx, rosterLinksSQL, func(key *RosterLinkKey, l *RosterLink) []any {
		return []any{
			&key.StudentID, &key.GuardianID, &l.Source, &l.Holds, &l.From, &l.To, &l.Relation,
			&l.Primary,
		}
	}, school, on); err != nil {
		return nil, err
	}
	if r.Memberships, err = all(ctx, tx, rosterMembershipsSQL,
		func(id *string, m *RosterMembership) []any {
			return []any{
				id, (*shared)(&m.Source), &m.Holds, &m.From, &m.To, &m.statements,
				(*shared)(&m.ClassID), (*shared)(&m.PersonID), (*shared)(&m.Role), &m.Primary,
			}
		}, school, on); err != nil {
		return nil, err
	}
	profile, described, err := read.One(ctx, tx, rosterProfileSQL, func(p *Profile) []any {
		return []any{&p.Source, &p.Name, &p.Identifier, &p.Type, &p.District}
	}, school)
	if described {
		r.Profile = &profile
	}
	return &r, err
}
