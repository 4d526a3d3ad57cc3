package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain/announcement"
)

// announced sends an announcement to its audience, through the channels that it names and otherwise
// to the inbox. An urgent one goes by SMS as well, ahead of all that is not urgent, and during
// quiet hours too.
var announced = &rule{
	name:     "announcement",
	types:    []string{announcement.TypePosted},
	channels: []consumers.Channel{consumers.InApp},
	maxAge:   7,
	plan: func(d *draft) {
		a, ok := d.event.Data.(*announcement.Posted)
		if !ok || d.staleEvent() {
			return
		}
		notice := message{
			template: wording.Announcement,
			priority: consumers.Bulk,
			params:   wording.Params{Title: a.Title, Body: a.Body},
		}
		channels := d.channelsOf(a)
		if a.Urgent {
			notice.priority = consumers.Urgent
		}
		reached := map[string]bool{} // phone numbers and e-mail addresses: families share them
		for _, p := range d.audience(a.Audience) {
			for _, c := range channels {
				address, ok := p.address(c)
				// One mailbox, however it is written: no mail server of today tells FAM@ from fam@.
				same := string(c) + strings.ToLower(address)
				if !ok || address != "" && reached[same] {
					continue
				}
				reached[same] = true
				to := notice
				to.params.Of = p.of
				d.add(p, c, address, to)
			}
		}
	},
	still: func(w *review) string {
		if len(w.params.Of) == 0 {
			return w.belongs()
		}
		reason := ""
		for _, student := range w.params.Of {
			if !w.Student(student).LeftOn.IsZero() {
				reason = "the student has left"
			} else if reason = w.family(student, false); reason == "" {
				return ""
			}
		}
		return reason
	},
}

// belongs says why an announcement is not for a student or a member of the staff any more.
func (w *review) belongs() string {
	id := w.delivery.Recipient
	if _, ok := w.colleague(); ok || w.Student(id).Enrolled {
		return ""
	}
	return id + " has left"
}

// channelsOf returns the channels of an announcement, each once and none that the school has not
// permitted.
func (d *draft) channelsOf(a *announcement.Posted) []consumers.Channel {
	var channels []consumers.Channel
	for _, name := range a.Channels {
		c := consumers.Channel(name)
		if permitted := d.ruleSettings.Channels; len(permitted) > 0 &&
			!slices.Contains(permitted, c) {
			continue
		}
		channels = append(channels, c)
	}
	if len(a.Channels) == 0 {
		channels = d.channels()
	}
	if a.Urgent {
		channels = append([]consumers.Channel{consumers.SMS}, channels...)
	}
	var once []consumers.Channel
	for _, c := range channels {
		if !slices.Contains(once, c) {
			once = append(once, c)
		}
	}
	return once
}

// The roles of an audience other than those of staff.
const (
	roleGuardian = "guardian"
	roleStudent  = "student"
)

// audience returns everyone an announcement is for, each once, ordered by id. An empty audience is
// the whole school.
func (d *draft) audience(of announcement.Audience) []person {
	everyone := len(of.Roles)+len(of.ClassIDs)+len(of.StudentIDs) == 0
	heads := map[string]person{}
	add := func(p person) {
		// a teacher who is a parent too
		earlier, twice := heads[p.id]
		if twice && earlier.phone+earlier.email != "" {
			earlier, p = p, earlier
		}
		for _, student := range earlier.of {
			if !slices.Contains(p.of, student) {
				p.of = append(slices.Clip(p.of), student)
			}
		}
		heads[p.id] = p
	}

	role := func(name string) bool { return everyone || slices.Contains(of.Roles, name) }
	if role(roleGuardian) || role(roleStudent) {
		for _, class := range d.Classes() {
			for _, s := range d.Class(class) {
				d.household(s.ID, role(roleStudent), role(roleGuardian), add)
			}
		}
	}
	for _, s := range d.Staff() {
		if role(s.Role) || slices.ContainsFunc(s.ClassIDs,
			func(c string) bool { return slices.Contains(of.ClassIDs, c) }) {
			add(person{id: s.ID})
		}
	}
	for _, class := range of.ClassIDs {
		for _, s := range d.Class(class) {
			d.household(s.ID, true, true, add)
		}
	}
	for _, id := range of.StudentIDs {
		d.household(id, true, true, add)
	}

	people := make([]person, 0, len(heads))
	for _, p := range heads {
		people = append(people, p)
	}
	slices.SortFunc(people, func(a, b person) int { return cmp.Compare(a.id, b.id) })
	return people
}

// household adds a student and everyone who is responsible for them.
func (d *draft) household(studentID string, student, guardians bool, add func(person)) {
	if student {
		add(person{id: studentID})
	}
	if !guardians {
		return
	}
	for _, g := range d.Guardians(studentID) {
		p := d.guardian(g)
		p.of = []string{studentID}
		add(p)
	}
}

// staffOf returns the staff of a class.
func (d *draft) staffOf(class string) []person {
	var people []person
	for _, s := range d.Staff() {
		if slices.Contains(s.ClassIDs, class) {
			people = append(people, person{id: s.ID})
		}
	}
	return people
}
