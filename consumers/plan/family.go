package plan

import (
	"slices"

	"github.com/schoolbell/schoolbell/consumers"
)

// tellFamily plans a notice about a student, on each channel of the rule, to the first primary
// guardian whom it reaches: one parent is enough, and a family is not to get it twice. Where that
// reaches nobody the school's fallbacks are tried, and where these do not either, the plan is a
// delivery that says why: somebody has to ring the family.
func (d *draft) tellFamily(studentID string, m message) {
	routes, unreached := d.routes(studentID)
	firsts := 0 // the routes that are taken at once; the others are for when these fail
	for firsts < len(routes) && !routes[firsts].fallback {
		firsts++
	}
	if firsts == 0 && len(routes) > 0 {
		firsts = 1
	}
	later := later(routes[firsts:])
	for _, r := range routes[:firsts] {
		d.notify(r.person, m, r.channel)
		if certain(r.channel) {
			d.deliveries[len(d.deliveries)-1].Otherwise, later = later, nil
		}
	}
	if firsts == 0 || !slices.ContainsFunc(routes[:firsts], d.counts) {
		d.add(unreached.person, unreached.channel, "", m)
		d.deliveries[len(d.deliveries)-1].Unreachable = unreached.fault
	}
}

// route is a way to reach a family, or why one does not.
type route struct {
	person   person
	channel  consumers.Channel
	fallback bool // only if the others fail
	fault    string
}

// certain reports that a channel says whether it has reached somebody, and does so by an address.
func certain(c consumers.Channel) bool { return c == consumers.SMS || c == consumers.Email }

// counts reports that a route is enough for the rule. What is urgent is not read in an inbox in time.
func (d *draft) counts(r route) bool { return !d.rule.urgent || certain(r.channel) }

// routes returns the ways to reach the family of a student, the best ones first, and what to say when
// there is none that counts.
func (d *draft) routes(studentID string) (routes []route, unreached route) {
	primary, others := d.primary(studentID), d.others(studentID)
	unreached = route{person: person{id: studentID}, channel: d.channels()[0]}
	switch {
	case len(primary) > 0:
		unreached.person = primary[0]
	case len(others) > 0:
		unreached.person, unreached.fault = others[0], "none of the guardians is the primary one"
	default:
		unreached.fault = "no guardian is linked to the student"
	}
	try := func(people []person, c consumers.Channel, fallback bool) {
		for _, p := range people {
			_, fault := p.reach(c)
			if fault == "" {
				routes = append(routes, route{p, c, fallback, ""})
				return
			}
			if unreached.fault == "" {
				unreached.channel, unreached.fault = c, fault
			}
		}
	}
	for _, c := range d.channels() {
		try(primary, c, false)
	}
	for _, f := range d.ruleSettings.Fallback {
		if f != consumers.OtherGuardians {
			try(primary, consumers.Channel(f), true)
			continue
		}
		for _, p := range others {
			for _, c := range d.channels() {
				try([]person{p}, c, true)
			}
		}
	}
	if unreached.fault == "" {
		unreached.fault = "the inbox alone does not reach " + unreached.person.id + " in time"
	}
	return routes, unreached
}

// others returns the guardians of a student who are not primary.
func (d *draft) others(studentID string) []person {
	var people []person
	for _, g := range d.Guardians(studentID) {
		if !g.Primary {
			people = append(people, d.guardian(g))
		}
	}
	return people
}

// later turns routes into what the ledger tries one after the other when a delivery fails.
func later(routes []route) (all []consumers.Route) {
	for _, r := range routes {
		address, _ := r.person.address(r.channel)
		all = append(all, consumers.Route{
			Recipient: r.person.id, Channel: r.channel, Address: address,
			Language: r.person.language,
		})
	}
	return all
}
