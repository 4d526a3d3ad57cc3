package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
)

// rule is one planner, with what holds for a school that has decided nothing about it.
type rule struct {
	name     string
	types    []string
	off      bool // unless the school switches it on
	channels []consumers.Channel
	maxAge   int // days; 0 is no limit
	plan     func(*draft)
}

func (r *rule) planner() consumers.Planner {
	return consumers.Planner{Name: r.name, Types: r.types, Plan: func(e *domain.Envelope, known consumers.Known, settings *consumers.Settings) []consumers.Delivery {
		d := &draft{rule: r, event: e, Known: known, settings: settings, decided: settings.Rules[r.name]}
		if d.decided.Off || r.off && !d.decided.On {
			return nil
		}
		r.plan(d)
		return d.list
	}}
}

// draft is the plan of one event while it is made.
type draft struct {
	consumers.Known

	rule     *rule
	event    *domain.Envelope
	settings *consumers.Settings
	decided  consumers.Rule
	list     []consumers.Delivery
}

// old reports that what happened on a day is not worth telling any more.
func (d *draft) old(on domain.Date) bool {
	limit := cmp.Or(d.decided.MaxAge, d.rule.maxAge)
	return limit > 0 && int(d.today()-on) > limit
}

// oldEvent is old for events without a day of their own.
func (d *draft) oldEvent() bool {
	return d.old(domain.DateOf(d.event.Time.In(d.settings.Location())))
}

func (d *draft) channels() []consumers.Channel {
	if len(d.decided.Channels) > 0 {
		return d.decided.Channels
	}
	return d.rule.channels
}

// message is what is to be said, whoever hears it.
type message struct {
	wording   string
	priority  consumers.Priority
	facts     wording.Facts
	about     string
	once      string
	dependsOn string
	notAfter  time.Time
}

// tell says something to somebody on each of the channels that reach them.
func (d *draft) tell(p person, m message, channels ...consumers.Channel) {
	for _, c := range channels {
		if address, ok := p.address(c); ok {
			d.add(p, c, address, m)
		}
	}
}

// tellFirst says something, on each channel, to the first of several people whom it reaches.
func (d *draft) tellFirst(people []person, m message, channels ...consumers.Channel) {
	for _, c := range channels {
		i := slices.IndexFunc(people, func(p person) bool {
			_, ok := p.address(c)
			return ok
		})
		if i >= 0 {
			d.tell(people[i], m, c)
		}
	}
}

func (d *draft) add(p person, c consumers.Channel, address string, m message) {
	m.facts.Sender = d.school()
	var notBefore time.Time
	if m.priority > consumers.Urgent && disturbs(c) {
		if awake := Awake(d.settings.Quiet, d.Now(), d.settings.Location()); !awake.Equal(d.Now()) {
			notBefore = awake.UTC()
		}
	}
	sender := d.school()
	if c == consumers.SMS {
		sender = d.settings.Sender
	}
	d.list = append(d.list, consumers.Delivery{
		Recipient: p.id,
		Channel:   c,
		Address:   address,
		About:     m.about,
		Once:      m.once,
		Priority:  m.priority,
		Template:  m.wording,
		Params:    m.facts.Params(),
		Language:  cmp.Or(p.language, d.settings.Language, "en"),
		Sender:    sender,
		NotBefore: notBefore,
		NotAfter:  m.notAfter,
		DependsOn: m.dependsOn,
	})
}

// disturbs reports that a channel makes a noise in somebody's pocket.
func disturbs(c consumers.Channel) bool { return c == consumers.SMS || c == consumers.Push }

// school is what the school calls itself.
func (d *draft) school() string {
	return cmp.Or(d.settings.Name, d.settings.Sender, d.event.School)
}

// nameOf is what a student is called.
func (d *draft) nameOf(studentID string) string {
	s := d.Student(studentID)
	if s.GivenName == "" && s.FamilyName == "" {
		return studentID // not enrolled yet, as where a school joins in the middle of a year
	}
	return s.GivenName + " " + s.FamilyName
}
