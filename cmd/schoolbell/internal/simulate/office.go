package simulate

import (
	"slices"
	"strconv"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/announcement"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/student"
)

// office is what happens outside the lessons: invoices on the first day of a term, moves, leavers,
// notices.
func (s *School) office(today domain.Date) {
	when := at(today, 15*time.Hour)
	if _, day := term(s.index); day == 0 {
		s.charge(today, when)
	}
	for n := range s.some(0.010) {
		s.move(today, when, n)
	}
	for range s.some(0.015) {
		s.leave(today, when)
	}
	for n := range s.some(0.030) {
		s.contactChanges(today, when, n)
	}
	if s.r.Float64() < 1.0/12 {
		s.announce(today, when)
	}
}

// some is how many students of the school something happens to today that happens to a share of
// them in a year.
func (s *School) some(share float64) int {
	expected := share * float64(len(s.students)) / (3 * termDays)
	n := int(expected)
	// The fraction is a chance, so that a small school has some in a year too.
	if s.r.Float64() < expected-float64(n) {
		n++
	}
	return n
}

func (s *School) move(today domain.Date, when time.Time, n int) {
	i := int32(s.r.IntN(len(s.students)))
	p := &s.students[i]
	from := p.class
	to := (from + 1) % int32(len(s.classes))
	if p.gone || s.classes[from].grade != s.classes[to].grade || from == to {
		return
	}
	s.transfer(i, to, today, when, "moved-"+today.String()+"-"+strconv.Itoa(n))
}

// transfer puts a student into another home class. The sections stay the student's.
func (s *School) transfer(i, to int32, today domain.Date, when time.Time, eventID string) {
	p := &s.students[i]
	home := &s.classes[p.class]
	home.students = slices.DeleteFunc(home.students, func(other int32) bool { return other == i })
	s.classes[to].students = append(s.classes[to].students, i)
	p.class = to
	s.emit(when, eventID, student.TypeClassChanged, &student.ClassChanged{
		StudentID: p.id, ClassID: s.classes[to].id, On: today,
	})
}

// transferDay is the school day on which a student changes to another home class, whether or not
// others do in that year.
const transferDay = 30

// planTransfer lets a student of the first home class change to the second. Where there is no
// parallel class, the student skips a grade.
func (s *School) planTransfer() {
	if len(s.classes) == 1 {
		return
	}
	day := s.calendar.days[transferDay]
	s.later.at(at(day, 14*time.Hour), func(when time.Time) {
		i := slices.IndexFunc(s.students, func(p pupil) bool { return p.class == 0 && !p.gone })
		if i < 0 {
			return
		}
		p := &s.students[i]
		s.transfer(int32(i), 1, day, when, "transferred-"+string(s.calendar.year)+"-"+p.id)
		if grade := s.classes[1].grade; grade != s.classes[0].grade {
			s.emit(when, "graded-"+string(s.calendar.year)+"-"+p.id, student.TypeDetailsChanged,
				&student.DetailsChanged{
					StudentID:  p.id,
					GradeLevel: domain.To(domain.Label(strconv.Itoa(grade))),
				})
		}
	})
}

func (s *School) leave(today domain.Date, when time.Time) {
	p := &s.students[s.r.IntN(len(s.students))]
	if p.gone {
		return
	}
	p.gone = true
	s.emit(when, "withdrawn-"+p.id, student.TypeWithdrawn, &student.Withdrawn{
		StudentID: p.id, On: today, Reason: pick(s.r, []string{"moved away", "changed schools", ""}),
	})
}

func (s *School) contactChanges(today domain.Date, when time.Time, n int) {
	id := s.guardianID(&s.students[s.r.IntN(len(s.students))], 0)
	eventID := "contact-" + today.String() + "-" + strconv.Itoa(n)
	s.emit(when, eventID, guardian.TypeContactChanged, &guardian.ContactChanged{
		GuardianID: id, Phone: s.country.number(s.r), Email: email(id),
		Language: s.country.person(s.r).of.language,
	})
}

var notices = []announcement.Posted{
	{Title: "Parents’ evening", Body: "Teachers will be in their classrooms from six to eight on Thursday.", Audience: announcement.Audience{Roles: []string{"guardian"}}, Channels: []string{announcement.Email, announcement.InApp}},
	{Title: "Sports day", Body: "Please bring water and a hat. Lessons end at noon.", Channels: []string{announcement.InApp, announcement.Push}},
	{Title: "Closed because of the weather", Body: "The school stays closed tomorrow. Buses do not run.", Channels: []string{announcement.SMS, announcement.Push, announcement.InApp}, Urgent: true},
	{Title: "Marks are due", Body: "Please enter this term’s marks by Friday.", Audience: announcement.Audience{Roles: []string{"teacher"}}, Channels: []string{announcement.InApp}},
	{Title: "Library week", Body: "Books that are overdue may be returned without a fine.", Channels: []string{announcement.InApp}},
}

func (s *School) announce(today domain.Date, when time.Time) {
	posted := pick(s.r, notices)
	posted.AnnouncementID = "notice-" + today.String()
	s.emit(when, posted.AnnouncementID, announcement.TypePosted, &posted)
}
