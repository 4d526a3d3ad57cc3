package plan

import (
	"cmp"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
)

// rule is a planner with its defaults for a school that has no settings for it.
type rule struct {
	name     string
	types    []string
	off      bool // unless the school switches it on
	urgent   bool // an inbox is not enough
	channels []consumers.Channel
	maxAge   int // in days; 0 is no limit
	plan     func(*draft)
	still    func(*review) string // why a delivery is not true any more; "" when it is
}

// planner binds the rule to an event, the facts and the school's settings.
func (r *rule) planner() consumers.Planner {
	return consumers.Planner{
		Name: r.name, Types: r.types, Still: r.review,
		Plan: func(e *domain.Envelope, facts consumers.Facts,
			settings *consumers.Settings,
		) []consumers.Delivery {
			d := &draft{
				rule: r, event: e, Facts: facts, settings: settings,
				ruleSettings: settings.Rules[r.name],
			}
			if d.isOff() {
				return nil
			}
			r.plan(d)
			return d.deliveries
		},
	}
}

// draft is the plan of one event while it is being made.
type draft struct {
	consumers.Facts

	rule         *rule
	event        *domain.Envelope
	settings     *consumers.Settings
	ruleSettings consumers.Rule
	deliveries   []consumers.Delivery
}

// isOff reports that the school does not want the rule.
func (d *draft) isOff() bool {
	return d.ruleSettings.Off || d.rule.off && !d.ruleSettings.On
}

// stale reports that an event of this day is too old to notify anyone, for example after an import
// of past years.
func (d *draft) stale(on domain.Date) bool {
	limit := cmp.Or(d.ruleSettings.MaxAge, d.rule.maxAge)
	return limit > 0 && int(d.Today()-on) > limit
}

// early reports that a day has not come yet, by the school's clock: a message about it would be
// about a slip of somebody's pen. Of a school without a time zone nobody knows the day, so it is
// the one of the place where it comes first.
func (d *draft) early(on domain.Date) bool {
	if d.settings.TimeZone == "" {
		const firstZone = 14 * time.Hour
		return on > domain.DateOf(d.Now().UTC().Add(firstZone))
	}
	return on > d.Today()
}

// staleEvent is stale for events without a day of their own.
func (d *draft) staleEvent() bool {
	return d.stale(domain.DateOf(d.event.Time.In(d.settings.Location())))
}

// channels returns the channels that the school has chosen for the rule, or its defaults.
func (d *draft) channels() []consumers.Channel {
	if len(d.ruleSettings.Channels) > 0 {
		return d.ruleSettings.Channels
	}
	return d.rule.channels
}

// message is what a notice says, whoever receives it. About and once identify the delivery, topic is
// what may be taken back; see [consumers.Delivery].
type message struct {
	template  string
	priority  consumers.Priority
	params    wording.Params
	about     string
	student   string // whom it is about
	once      string
	topic     string
	dependsOn string
	notAfter  time.Time
}

// notify plans a notice to a person on each channel that reaches them.
func (d *draft) notify(p person, m message, channels ...consumers.Channel) {
	for _, c := range channels {
		if address, ok := p.address(c); ok {
			d.add(p, c, address, m)
		}
	}
}

// add plans a delivery. It waits for the end of the quiet hours unless it is urgent or silent.
func (d *draft) add(p person, c consumers.Channel, address string, m message) {
	m.params.Sender = d.schoolName()
	var notBefore time.Time
	if m.priority > consumers.Urgent && (c.Disturbs() || c == "") {
		if awake := AfterQuietHours(d.settings.Quiet, d.Now(),
			d.settings.Location()); !awake.Equal(d.Now()) {
			notBefore = awake.UTC()
		}
	}
	sender := d.schoolName()
	if c == consumers.SMS {
		sender = d.settings.Sender
	}
	d.deliveries = append(d.deliveries, consumers.Delivery{
		Recipient: p.id,
		Channel:   c,
		Address:   address,
		About:     m.about,
		Once:      m.once,
		Topic:     m.topic,
		Student:   m.student,
		Priority:  m.priority,
		Template:  m.template,
		Params:    m.params.Encode(),
		Language:  cmp.Or(p.language, d.settings.Language, "en"),
		Sender:    sender,
		NotBefore: notBefore,
		NotAfter:  m.notAfter,
		DependsOn: m.dependsOn,
	})
}

// retract plans to take back what was said about a topic, from whoever was told of it. The channel
// is the one by which they were.
func (d *draft) retract(m message) {
	d.add(person{}, "", "", m)
	d.deliveries[len(d.deliveries)-1].Retracts = true
}

// schoolName returns the name that the school gives itself.
func (d *draft) schoolName() string {
	return cmp.Or(d.settings.Name, d.settings.Sender, d.event.School)
}

// studentName returns a student's full name, or the id for one who is not enrolled yet: a school
// may join in the middle of a year.
func (d *draft) studentName(studentID string) string {
	s := d.Student(studentID)
	if s.GivenName == "" && s.FamilyName == "" {
		return studentID
	}
	return s.GivenName + " " + s.FamilyName
}
