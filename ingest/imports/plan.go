package imports

import (
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/school"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/projections/students"
)

// comparison makes the events that turn a directory into what a package says. It is a function of
// the two and of the time: it reads nothing.
type comparison struct {
	*contents
	have  *students.Roster
	adopt bool
	now   time.Time
	today domain.Date
	emit  func(e fact) error
	tally Tally
	err   error // the first of emit
}

// fact is an event before it has an id.
type fact struct {
	Type string
	Time time.Time
	Data domain.Event
}

// Tally is what a plan does to the rows of one kind.
type Tally map[Kind]*Counts

// Counts are numbers of rows.
type Counts struct {
	Added     int64 `json:"added" doc:"Rows that the tables did not have"`
	Changed   int64 `json:"changed" doc:"Rows of which something is different"`
	Unchanged int64 `json:"unchanged"`
	Ended     int64 `json:"ended" doc:"Rows of the tables that end, because the package says so or no longer has them"`
	Missing   int64 `json:"missing" doc:"Those of the ended that the package no longer has"`
	Held      int64 `json:"held" doc:"Rows of the tables that held before, of all sources"`
	Foreign   int64 `json:"foreign" doc:"Rows of other sources that the package does not have, and that are left alone"`
}

func (t Tally) of(kind Kind) *Counts {
	if t[kind] == nil {
		t[kind] = &Counts{}
	}
	return t[kind]
}

// begin makes the events of everything that begins or changes, in an order in which each finds what
// it names: classes, people, then what connects them.
func (c *comparison) begin() error {
	c.describeSchool()
	for i := range c.classes.rows {
		c.class(&c.classes.rows[i])
	}
	for i := range c.students.rows {
		c.student(&c.students.rows[i])
	}
	for i := range c.staff.rows {
		c.member(&c.staff.rows[i])
	}
	for i := range c.links.rows {
		l := &c.links.rows[i]
		if c.guardians[l.row.GuardianID] == i {
			c.guardian(&l.row)
		}
		c.link(l)
	}
	for i := range c.memberships.rows {
		c.membership(&c.memberships.rows[i])
	}
	return c.err
}

// say makes an event. A zero time stands for now: the event is then the last word about what the
// directory holds already. So does a time at which nobody could have said it: one to come, one
// before all times that events may have, and one long before the days that the event names, as the
// zero of a calendar is. The log would not take such an event, and the import would never end.
func (c *comparison) say(wireType string, at time.Time, data domain.Event) {
	if c.err != nil {
		return
	}
	if at.After(c.now) || at.UTC().Year() < 1900 || !validOn(domain.DateOf(at), data) {
		at = c.now
	}
	c.err = c.emit(fact{wireType, at, data})
}

// validOn reports whether an event of a day may name the days that it names.
func validOn(day domain.Date, data domain.Event) bool {
	f := domain.Faults{Day: day}
	data.Validate(&f)
	return len(f.List) == 0
}

// count notes what became of a row: it is new, or something was said about it since said.
func (c *comparison) count(kind Kind, isNew, changed bool) {
	switch n := c.tally.of(kind); {
	case isNew:
		n.Added++
	case changed:
		n.Changed++
	default:
		n.Unchanged++
	}
}

// changed leaves of a change only what makes a difference.
func changed[T comparable](have T, want domain.Change[T]) domain.Change[T] {
	if want.Said && want.Value == have {
		return domain.Change[T]{}
	}
	return want
}

func changedList(have []string, want domain.Change[[]string]) domain.Change[[]string] {
	switch {
	case want.Said && slices.Equal(have, want.Value):
		return domain.Change[[]string]{}
	case want.Said && len(want.Value) == 0:
		return domain.Removed[[]string]()
	}
	return want
}

// unlessSame is empty when a text that cannot be removed is the same.
func unlessSame(have, want string) string {
	if have == want {
		return ""
	}
	return want
}

func (c *comparison) describeSchool() {
	if c.school == nil {
		return
	}
	have := c.have.Profile
	if have == nil {
		c.count(KindSchool, true, false)
		c.say(school.TypeDescribed, time.Time{}, c.school)
		return
	}
	said := *c.school
	said.Identifier = changed(have.Identifier, said.Identifier)
	said.Type = changed(have.Type, said.Type)
	said.District = changed(have.District, said.District)
	differs := said != School{Name: have.Name}
	c.count(KindSchool, false, differs)
	if differs {
		c.say(school.TypeDescribed, time.Time{}, &said)
	}
}

func (c *comparison) class(e *entry[Class]) {
	have, known := c.have.Classes[e.row.ClassID]
	said := e.row
	said.Course = changed(have.Course, said.Course)
	said.Room = changed(have.Room, said.Room)
	said.Year = changed(have.Year, said.Year)
	said.Subjects = changedList(have.Subjects, said.Subjects)
	said.Grades = changedList(have.Grades, said.Grades)
	said.Terms = changedList(have.Terms, said.Terms)
	differs := !have.Holds || said.Title != have.Title || said.Kind != have.Kind ||
		said.Course.Said || said.Room.Said || said.Year.Said || said.Subjects.Said ||
		said.Grades.Said || said.Terms.Said
	c.count(KindClass, !have.Holds, differs)
	if differs {
		c.say(class.TypeDefined, c.firstTime(known, e.time), &said)
	}
}

// firstTime is the time of the first fact about something, so that what it says is known from then
// on. Later facts must come after it; and so must one about the last days, for which something may
// have been said that left no trace, as a beginning and an end on the same day.
func (c *comparison) firstTime(known bool, at time.Time) time.Time {
	if known || at.After(c.now.Add(-48*time.Hour)) {
		return time.Time{}
	}
	return at
}

func (c *comparison) student(e *entry[Student]) {
	row := &e.row
	have, known := c.have.Students[row.StudentID]
	at := e.time
	if at.IsZero() {
		at = noon(row.On)
	}
	s := settle(span{row.On, row.LeftOn}, have.Held, known, c.today)
	if !known && s.begin.IsZero() {
		c.count(KindStudent, false, false) // left on the first day: never there
		return
	}
	if !s.begin.IsZero() {
		c.say(student.TypeEnrolled, c.firstTime(known, at), row.enrolled(s.begin))
	}
	said := student.DetailsChanged{
		StudentID:     row.StudentID,
		PreferredName: changed(have.PreferredName, row.PreferredName),
	}
	if known {
		said.GivenName = unlessSame(have.GivenName, row.GivenName)
		said.FamilyName = unlessSame(have.FamilyName, row.FamilyName)
		said.BirthDate = changed(have.BirthDate, row.BirthDate)
		said.GradeLevel = changed(have.GradeLevel, row.GradeLevel)
		said.Email = changed(have.Email, row.Email)
	}
	differs := said.GivenName != "" || said.FamilyName != "" || said.PreferredName.Said ||
		said.BirthDate.Said || said.GradeLevel.Said || said.Email.Said
	if differs {
		c.say(student.TypeDetailsChanged, c.firstTime(known, at), &said)
	}
	if have.Holds && have.ClassID != row.ClassID && !s.over {
		differs = true
		c.say(student.TypeClassChanged, time.Time{}, &student.ClassChanged{
			StudentID: row.StudentID, ClassID: row.ClassID, On: max(c.today, have.From),
		})
	}
	if !s.end.IsZero() {
		c.say(student.TypeWithdrawn, c.firstTime(known, noon(s.end)),
			&student.Withdrawn{StudentID: row.StudentID, On: s.end, Reason: row.Reason})
	}
	c.settled(KindStudent, have.Held, s, differs)
}

// settled counts a row with a span.
func (c *comparison) settled(kind Kind, have students.Held, s settlement, differs bool) {
	if s.over && have.Holds {
		c.tally.of(kind).Ended++
		return
	}
	c.count(kind, !have.Holds && !s.begin.IsZero(), differs || s != settlement{over: s.over})
}

func (c *comparison) member(e *entry[Staff]) {
	row := &e.row
	have, known := c.have.Staff[row.StaffID]
	classes := changedList(have.ClassIDs, row.ClassIDs)
	said := staff.DetailsChanged{
		StaffID: row.StaffID,
		Name:    unlessSame(have.Name, row.Name), Role: unlessSame(have.Role, row.Role),
		Subjects: changedList(have.Subjects, row.Subjects), Email: changed(have.Email, row.Email),
	}
	assign := !have.Holds || classes.Said
	details := said.Name != "" || said.Role != "" || said.Subjects.Said || said.Email.Said
	c.count(KindStaff, !have.Holds, assign || details)
	if assign {
		c.say(staff.TypeAssigned, c.firstTime(known, e.time), row.assigned(have.ClassIDs))
		// An assignment says all of this but what is removed.
		details = known && (said.Subjects.Said && len(said.Subjects.Value) == 0 ||
			said.Email.Said && said.Email.Value == "")
	}
	if details {
		c.say(staff.TypeDetailsChanged, time.Time{}, &said)
	}
}

// assigned is the fact that the person works at the school, with the classes that they have unless
// the row names them.
func (s *Staff) assigned(classIDs []string) *staff.Assigned {
	return &staff.Assigned{
		StaffID: s.StaffID, Name: s.Name, Role: s.Role, ClassIDs: s.ClassIDs.Or(classIDs),
		Subjects: s.Subjects.Value, Email: s.Email.Value,
	}
}

// guardian says what is different about a guardian whom the directory has. A link says it of
// others.
func (c *comparison) guardian(row *Link) {
	have, known := c.have.Guardians[row.GuardianID]
	if !known {
		return
	}
	said := guardian.DetailsChanged{
		GuardianID: row.GuardianID, Name: unlessSame(have.Name, row.Name),
		Phone: changed(have.Phone, row.Phone), Email: changed(have.Email, row.Email),
		Language: changed(have.Language, row.Language),
	}
	if said.Name != "" || said.Phone.Said || said.Email.Said || said.Language.Said {
		c.say(guardian.TypeDetailsChanged, time.Time{}, &said)
	}
}

func (c *comparison) link(e *entry[Link]) {
	have, known := c.have.Links[students.RosterLinkKey{
		StudentID: e.row.StudentID, GuardianID: e.row.GuardianID,
	}]
	differs := !have.Holds || have.Relation != e.row.Relation || have.Primary != e.row.Primary
	c.count(KindLink, !have.Holds, differs)
	if differs {
		last := &c.links.rows[c.guardians[e.row.GuardianID]].row
		c.say(guardian.TypeLinked, c.firstTime(known, e.time), e.row.linked(last))
	}
}

// linked is the fact that the guardian is the student's, with how to reach them as another row
// says.
func (l *Link) linked(guardianAs *Link) *guardian.Linked {
	return &guardian.Linked{
		GuardianID: l.GuardianID, StudentID: l.StudentID, Relation: l.Relation, Primary: l.Primary,
		Name: guardianAs.Name, Phone: guardianAs.Phone.Value, Email: guardianAs.Email.Value,
		Language: guardianAs.Language.Value,
	}
}

func (c *comparison) membership(e *entry[Membership]) {
	row := &e.row
	have, known := c.have.Memberships[row.MembershipID]
	s := settle(span{row.From, row.To}, have.Held, known, c.today)
	differs := have.Holds && !s.over && (have.ClassID != row.ClassID ||
		have.PersonID != row.PersonID || have.Role != row.Role || have.Primary != row.Primary)
	if differs {
		c.say(membership.TypeStarted, time.Time{}, row.started(max(c.today, have.From)))
	}
	if !s.begin.IsZero() {
		at := e.time
		if at.IsZero() {
			at = noon(s.begin)
		}
		c.say(membership.TypeStarted, c.firstTime(known, at), row.started(s.begin))
	}
	if !s.end.IsZero() {
		c.say(membership.TypeEnded, c.firstTime(known, noon(s.end)),
			&membership.Ended{MembershipID: row.MembershipID, To: s.end})
	}
	c.settled(row.kind(), have.Held, s, differs)
}

// noon is the time of events of which only the day is known: it falls on the same date nearly
// everywhere.
func noon(day domain.Date) time.Time { return day.Time().Add(12 * time.Hour) }
