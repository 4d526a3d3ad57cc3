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
	have   *students.Roster
	parked map[string]bool // subjects of which the tables lack the latest events
	adopt  bool
	now    time.Time
	today  domain.Date
	emit   func(e fact) error
	tally  Tally
	err    error // the first of emit
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
	Shared    int64 `json:"shared" doc:"Rows of other sources that the package has too, and that are left alone unless it adopts them"`
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
	for e := range c.classes.usable() {
		if !c.waits(KindClass, e.row.ClassID) {
			c.class(e)
		}
	}
	for e := range c.students.usable() {
		if !c.waits(KindStudent, e.row.StudentID) {
			c.student(e)
		}
	}
	for e := range c.staff.usable() {
		if !c.waits(KindStaff, e.row.StaffID) {
			c.member(e)
		}
	}
	for e := range c.links.usable() {
		if c.waits(KindLink, e.row.StudentID, e.row.GuardianID) {
			continue
		}
		if last := c.guardians[e.row.GuardianID]; last == &e.row {
			c.guardian(last)
		}
		c.link(e)
	}
	for e := range c.memberships.usable() {
		if !c.waits(e.row.kind(), e.row.PersonID, e.row.MembershipID) {
			c.membership(e)
		}
	}
	return c.err
}

// waits refuses a row of which some subject is parked: what the directory has of it is out of date,
// and every import would say the same again.
func (c *comparison) waits(kind Kind, subjects ...string) bool {
	if !slices.ContainsFunc(subjects, func(s string) bool { return c.parked[s] }) {
		return false
	}
	c.refused.add(kind, "earlier events about it are parked, so that the tables are behind", "")
	return true
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

// theirs reports that a row of the package is about what another source began and has not ended: it
// is left as that source says, unless the import adopts it.
func (c *comparison) theirs(kind Kind, have students.Held) bool {
	if !c.foreign(have) || c.adopt {
		return false
	}
	c.tally.of(kind).Shared++
	return true
}

// foreign reports that something holds and is of another source. An import that adopts it says of it
// what makes it its own, even where nothing else is different.
func (c *comparison) foreign(have students.Held) bool {
	return have.Holds && have.Source != c.Source
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
	foreign := have.Source != c.Source
	if foreign && !c.adopt {
		c.tally.of(KindSchool).Shared++
		return
	}
	said := *c.school
	said.Identifier = changed(have.Identifier, said.Identifier)
	said.Type = changed(have.Type, said.Type)
	said.District = changed(have.District, said.District)
	differs := foreign || said != School{Name: have.Name}
	c.count(KindSchool, false, differs)
	if differs {
		c.say(school.TypeDescribed, time.Time{}, &said)
	}
}

func (c *comparison) class(e *entry[Class]) {
	have, stored := c.have.Classes[e.row.ClassID]
	if c.theirs(KindClass, have.Held) {
		return
	}
	said := e.row
	said.Course = changed(have.Course, said.Course)
	said.Room = changed(have.Room, said.Room)
	said.Year = changed(have.Year, said.Year)
	said.Subjects = changedList(have.Subjects, said.Subjects)
	said.Grades = changedList(have.Grades, said.Grades)
	said.Terms = changedList(have.Terms, said.Terms)
	differs := !have.Holds || c.foreign(have.Held) || said.Title != have.Title ||
		said.Kind != have.Kind || said.Course.Said || said.Room.Said || said.Year.Said ||
		said.Subjects.Said || said.Grades.Said || said.Terms.Said
	c.count(KindClass, !have.Holds, differs)
	if differs {
		c.say(class.TypeDefined, c.firstTime(stored, e.time), &said)
	}
}

// firstTime is the time of the first fact about something, so that what it says is known from then
// on. Later facts must come after it; and so must one about the last days, for which something may
// have been said that left no trace, as a beginning and an end on the same day.
func (c *comparison) firstTime(stored bool, at time.Time) time.Time {
	if stored || at.After(c.now.Add(-48*time.Hour)) {
		return time.Time{}
	}
	return at
}

func (c *comparison) student(e *entry[Student]) {
	row := &e.row
	have, stored := c.have.Students[row.StudentID]
	if c.theirs(KindStudent, have.Held) {
		return
	}
	at := e.time
	if at.IsZero() {
		at = noon(row.On)
	}
	s := settle(span{row.On, row.LeftOn}, have.Held, stored, c.today)
	if !stored && s.begin.IsZero() {
		c.count(KindStudent, false, false) // left on the first day: never there
		return
	}
	adopts := c.foreign(have.Held) && !s.over && s.begin.IsZero()
	changesFrom := max(c.today, have.From)
	from := s.begin
	if adopts {
		from = changesFrom
	}
	for _, day := range restated(have.Held, row.LeftOn, from) {
		c.say(student.TypeEnrolled, c.firstTime(stored, at), row.enrolled(day))
	}
	said := student.DetailsChanged{
		StudentID:     row.StudentID,
		PreferredName: changed(have.PreferredName, row.PreferredName),
	}
	if stored {
		said.GivenName = unlessSame(have.GivenName, row.GivenName)
		said.FamilyName = unlessSame(have.FamilyName, row.FamilyName)
		said.BirthDate = changed(have.BirthDate, row.BirthDate)
		said.GradeLevel = changed(have.GradeLevel, row.GradeLevel)
		said.Email = changed(have.Email, row.Email)
	}
	differs := said.GivenName != "" || said.FamilyName != "" || said.PreferredName.Said ||
		said.BirthDate.Said || said.GradeLevel.Said || said.Email.Said
	if differs {
		c.say(student.TypeDetailsChanged, c.firstTime(stored, at), &said)
	}
	if have.Holds && have.ClassID != row.ClassID && !s.over && !adopts {
		differs = true
		for _, day := range append(have.StartsAfter(changesFrom), changesFrom) {
			if s.begin.IsZero() || day < s.begin {
				c.say(student.TypeClassChanged, time.Time{}, &student.ClassChanged{
					StudentID: row.StudentID, ClassID: row.ClassID, On: day,
				})
			}
		}
	}
	if !s.end.IsZero() {
		c.forget(have.Held, s.end, func(day domain.Date) (string, domain.Event) {
			return student.TypeWithdrawn, &student.Withdrawn{StudentID: row.StudentID, On: day}
		})
		c.say(student.TypeWithdrawn, c.firstTime(stored, noon(s.end)),
			&student.Withdrawn{StudentID: row.StudentID, On: s.end, Reason: row.Reason})
	}
	c.settled(KindStudent, have.Held, s, differs || adopts)
}

// forget ends what would begin after an end, because it was said to hold from a later day on. It is
// said a moment before the end itself: of ends that follow one another the last word counts.
func (c *comparison) forget(
	have students.Held, end domain.Date, ends func(day domain.Date) (string, domain.Event),
) {
	for _, day := range have.StartsAfter(end) {
		wireType, data := ends(day)
		c.say(wireType, c.now.Add(-time.Millisecond), data)
	}
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
	have, stored := c.have.Staff[row.StaffID]
	if c.theirs(KindStaff, have.Held) {
		return
	}
	classes := changedList(have.ClassIDs, row.ClassIDs)
	said := staff.DetailsChanged{
		StaffID: row.StaffID,
		Name:    unlessSame(have.Name, row.Name), Role: unlessSame(have.Role, row.Role),
		Subjects: changedList(have.Subjects, row.Subjects), Email: changed(have.Email, row.Email),
	}
	assign := !have.Holds || c.foreign(have.Held) || classes.Said
	details := said.Name != "" || said.Role != "" || said.Subjects.Said || said.Email.Said
	c.count(KindStaff, !have.Holds, assign || details)
	if assign {
		c.say(staff.TypeAssigned, c.firstTime(stored, e.time), row.assigned(have.ClassIDs))
		// An assignment says all of this but what is removed.
		details = stored && (said.Subjects.Said && len(said.Subjects.Value) == 0 ||
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
	have, stored := c.have.Guardians[row.GuardianID]
	if !stored || c.reachedByOthers(row.GuardianID) {
		return
	}
	said := guardian.DetailsChanged{
		GuardianID: row.GuardianID, Name: unlessSame(have.Name, row.Name),
		Phone: changed(have.Phone, row.Phone), Email: changed(have.Email, row.Email),
		Language: changed(have.Language, row.Language),
	}
	if have.Source != c.Source {
		said.Name = row.Name // by which the guardian becomes the import's own
	}
	if said.Name != "" || said.Phone.Said || said.Email.Said || said.Language.Said {
		c.say(guardian.TypeDetailsChanged, time.Time{}, &said)
	}
}

// reachedByOthers reports that how to reach a guardian is for another source to say: it is who
// links the guardian to a student, and the import does not adopt.
func (c *comparison) reachedByOthers(guardianID string) bool {
	return !c.adopt && c.have.Guardians[guardianID].Linked &&
		c.have.Guardians[guardianID].Source != c.Source
}

func (c *comparison) link(e *entry[Link]) {
	have, stored := c.have.Links[students.RosterLinkKey{
		StudentID: e.row.StudentID, GuardianID: e.row.GuardianID,
	}]
	if c.theirs(KindLink, have.Held) {
		return
	}
	differs := !have.Holds || c.foreign(have.Held) || have.Relation != e.row.Relation ||
		have.Primary != e.row.Primary
	c.count(KindLink, !have.Holds, differs)
	if !differs {
		return
	}
	said := e.row.linked(c.guardians[e.row.GuardianID])
	if c.reachedByOthers(e.row.GuardianID) {
		said.Name = c.have.Guardians[e.row.GuardianID].Name
		said.Phone, said.Email, said.Language = "", "", ""
	}
	c.say(guardian.TypeLinked, c.firstTime(stored, e.time), said)
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
	have, stored := c.have.Memberships[row.MembershipID]
	if c.theirs(row.kind(), have.Held) {
		return
	}
	s := settle(span{row.From, row.To}, have.Held, stored, c.today)
	differs := have.Holds && !s.over && (c.foreign(have.Held) || have.ClassID != row.ClassID ||
		have.PersonID != row.PersonID || have.Role != row.Role || have.Primary != row.Primary)
	var changesFrom domain.Date
	if differs {
		changesFrom = max(c.today, have.From)
	}
	for _, day := range restated(have.Held, row.To, s.begin, changesFrom) {
		at := e.time
		if at.IsZero() {
			at = noon(day)
		}
		c.say(membership.TypeStarted, c.firstTime(stored, at), row.started(day))
	}
	if !s.end.IsZero() {
		c.forget(have.Held, s.end, func(day domain.Date) (string, domain.Event) {
			return membership.TypeEnded, &membership.Ended{MembershipID: row.MembershipID, To: day}
		})
		c.say(membership.TypeEnded, c.firstTime(stored, noon(s.end)),
			&membership.Ended{MembershipID: row.MembershipID, To: s.end})
	}
	c.settled(row.kind(), have.Held, s, differs)
}

// noon is the time of events of which only the day is known: it falls on the same date nearly
// everywhere.
func noon(day domain.Date) time.Time { return day.Time().Add(12 * time.Hour) }
