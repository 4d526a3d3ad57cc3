package plan

import (
	"fmt"
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
	paper    []byte         // of a document that must be made anew
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
			return consumers.Verdict{Overtaken: reason}
		}
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

// family says why the recipient is not to be told of a student any more, and finds where they are
// reached by now. The student belongs to the family, and a document has no reader of its own.
func (w *review) family(studentID string, primaryOnly bool) string {
	d := w.delivery
	if d.Channel == consumers.PDF || d.Recipient == studentID {
		return ""
	}
	for _, g := range w.Guardians(studentID) {
		if g.ID != d.Recipient {
			continue
		}
		if primaryOnly && !g.Primary {
			return fmt.Sprintf("%s is no longer the primary guardian", g.ID)
		}
		return w.reach(w.guardian(g))
	}
	return fmt.Sprintf("%s has nothing to do with the student any more", d.Recipient)
}

// reach says why a person is not reached any more, and finds where they are.
func (w *review) reach(p person) string {
	address, ok := p.address(w.delivery.Channel)
	if !ok {
		return fmt.Sprintf("%s has no address for this channel any more", p.id)
	}
	w.address = address
	return ""
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
