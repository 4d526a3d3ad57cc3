package simulate

import (
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
	stay := s.classes[from].students[:0]
	for _, other := range s.classes[from].students {
		if other != i {
			stay = append(stay, other)
		}
	}
	s.classes[from].students = stay
	s.classes[to].students = append(s.classes[to].students, i)
	p.class = to
	eventID := "moved-" + today.String() + "-" + strconv.Itoa(n)
	s.emit(when, eventID, student.TypeClassChanged, &student.ClassChanged{
		StudentID: p.id, ClassID: s.classes[to].id, On: today,
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

var relations = [][2]string{
	{"Mother", "Father"},
	{"Mother", "Father"},
	{"Father", "Mother"},
	{"Mother", "Grandmother"},
	{"Guardian", "Aunt"},
	{"Mother", "Mother"},
}

// guardians links one or two people with a student, the first of them as the primary one.
func (s *School) guardians(when time.Time, p *pupil, child person) {
	relation := pick(s.r, relations)
	count := 1
	if s.r.Float64() < 0.75 {
		count = 2
	}
	for n := range count {
		linked := &guardian.Linked{
			GuardianID: guardianID(p, n),
			StudentID:  p.id,
			Name:       child.parent(s.r).String(),
			Relation:   relation[n],
			Language:   child.of.language,
			Primary:    n == 0,
		}
		if s.r.Float64() < 0.95 {
			linked.Phone = s.country.number(s.r)
		}
		if s.r.Float64() < 0.7 {
			linked.Email = email(linked.GuardianID)
		}
		s.emit(when, "linked-"+string(s.calendar.year)+"-"+linked.GuardianID, guardian.TypeLinked, linked)
	}
}

func guardianID(p *pupil, n int) string { return "g-" + p.id[len("st-"):] + string(rune('a'+n)) }

func (s *School) contactChanges(today domain.Date, when time.Time, n int) {
	id := guardianID(&s.students[s.r.IntN(len(s.students))], 0)
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
