package plan

import (
	"reflect"
	"slices"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
)

// review is the look at a delivery right before it is sent, with the facts and settings of now. The
// rule says in still why it is not true any more, or changes the review to what is.
type review struct {
	*draft
	delivery *consumers.Delivery
	address  string
	params   wording.Params // of a notice
	paper    []byte         // of a document that must be made again
	lost     string         // the student whose family must be told in another way
}

// review returns the verdict of the rule on a delivery that it has planned.
func (r *rule) review(
	d *consumers.Delivery, facts consumers.Facts, settings *consumers.Settings,
) consumers.Verdict {
	w := &review{
		draft: &draft{
			rule: r, event: &domain.Envelope{School: d.School}, Facts: facts, settings: settings,
			ruleSettings: settings.Rules[r.name],
		},
		delivery: d, address: d.Address,
	}
	if w.isOff() {
		return consumers.Verdict{Overtaken: "the school has switched the rule off"}
	}
	before := w.params
	if d.Channel != consumers.PDF {
		var err error
		if w.params, err = wording.DecodeParams(d.Params); err != nil {
			panic(err) // we have written them ourselves
		}
		before = w.params
	}
	if r.still != nil {
		if reason := r.still(w); reason != "" {
			return w.overtaken(reason)
		}
	}
	if w.address == "" && certain(d.Channel) {
		return consumers.Verdict{Overtaken: "there is nobody to send it to", Unreachable: true}
	}
	v := consumers.Verdict{Address: w.address, Params: d.Params}
	switch {
	case w.paper != nil:
		v.Params = w.paper
	case !reflect.DeepEqual(w.params, before):
		v.Params = w.params.Encode()
	}
	return v
}

// overtaken is the verdict on a delivery that is not sent. Where that is because of its recipient, the
// family is told in another way; where there is none, the delivery has failed.
func (w *review) overtaken(reason string) consumers.Verdict {
	v := consumers.Verdict{Overtaken: reason}
	if w.lost == "" {
		return v
	}
	routes, unreached := w.routes(w.lost)
	v.Otherwise = later(slices.DeleteFunc(routes, func(r route) bool {
		return r.person.id == w.delivery.Recipient && r.channel == w.delivery.Channel
	}))
	if len(v.Otherwise) > 0 {
		return v
	}
	if unreached.person.id == w.delivery.Recipient && unreached.channel == w.delivery.Channel {
		v.Unreachable = true
		return v
	}
	v.Otherwise = []consumers.Route{{
		Recipient: unreached.person.id, Channel: unreached.channel, Unreachable: unreached.fault,
	}}
	return v
}

// family says why the recipient is not to be told of a student any more, and finds where they are
// reached by now. The student belongs to the family, and a document has no reader of its own. A
// message for the primary guardian goes to whoever that is now.
func (w *review) family(studentID string, forPrimary bool) string {
	d := w.delivery
	if d.Channel == consumers.PDF || d.Recipient == studentID && d.Address == "" {
		return ""
	}
	reason := d.Recipient + " has nothing to do with the student any more"
	for _, g := range w.Guardians(studentID) {
		if g.ID == d.Recipient {
			reason = w.member(g, forPrimary)
		}
	}
	if reason != "" && forPrimary {
		w.lost = studentID
	}
	return reason
}

// member says why a guardian of the student is not to be told any more.
func (w *review) member(g consumers.Guardian, forPrimary bool) string {
	others := slices.Contains(w.ruleSettings.Fallback, consumers.OtherGuardians)
	if forPrimary && !g.Primary && !others {
		return g.ID + " is no longer the primary guardian"
	}
	address, fault := w.guardian(g).reach(w.delivery.Channel)
	if fault == "" {
		w.address = address
	}
	return fault
}

// colleague returns the recipient, if they are on the staff.
func (w *review) colleague() (consumers.Staff, bool) {
	all := w.Staff()
	i := slices.IndexFunc(all, func(s consumers.Staff) bool { return s.ID == w.delivery.Recipient })
	if i < 0 {
		return consumers.Staff{}, false
	}
	return all[i], true
}
