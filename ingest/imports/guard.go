package imports

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Consents are the ends that a person has agreed to: how many, by the name of [Ask.Consent].
type Consents map[string]int64

// consents name the ends that need one.
var consents = map[Kind]string{
	KindStudent: "withdraw", KindStaff: "leave", KindLink: "unlink",
	KindClass: "close", KindAttending: "drop", KindTeaching: "release",
}

// ConsentNames are what [Consents] can be about.
func ConsentNames() []string { return slices.Sorted(maps.Values(consents)) }

// guarded are the kinds of which no large share ends without a consent. The others follow from
// these, and change with every term; a consent is needed when a package has none of them any more.
var guarded = []Kind{KindStudent, KindStaff, KindLink}

// Ask is ends that a plan does not make unless somebody agrees to their number: a file that is cut
// off, or of another year, looks like a school that everybody leaves.
type Ask struct {
	Consent string `json:"consent" enum:"withdraw,leave,unlink,close,drop,release" doc:"Of students, of staff, of guardians from students, of classes, of students from classes, of staff from classes"`
	Count   int64  `json:"count" doc:"How many would end; the consent names this number"`
	Held    int64  `json:"held" doc:"Of how many"`
	Reason  string `json:"reason"`
}

// end makes the events of what the package no longer has: what belongs to people before the people.
func (c *comparison) end() error {
	// The day of facts which name none, as guardian.linked does not: else a link that is made again
	// today would begin before the end.
	undated := students.DayOf(c.now)
	for _, kind := range []Kind{KindAttending, KindTeaching} {
		of := maps.Collect(func(yield func(string, students.RosterMembership) bool) {
			for id, m := range c.have.Memberships {
				if (&Membership{Role: m.Role}).kind() == kind && !yield(id, m) {
					return
				}
			}
		})
		endMissing(c, kind, of, same, c.memberships.has, c.today,
			func(id string, on domain.Date) (string, domain.Event) {
				return membership.TypeEnded, &membership.Ended{MembershipID: id, To: on}
			})
	}
	endMissing(c, KindLink, c.have.Links, func(l students.RosterLinkKey) string {
		return LinkKey(l.StudentID, l.GuardianID)
	}, c.links.has, undated, func(l students.RosterLinkKey, on domain.Date) (string, domain.Event) {
		return guardian.TypeUnlinked, &guardian.Unlinked{
			GuardianID: l.GuardianID, StudentID: l.StudentID, On: on,
		}
	})
	endMissing(c, KindStaff, c.have.Staff, same, c.staff.has, undated,
		func(id string, on domain.Date) (string, domain.Event) {
			return staff.TypeLeft, &staff.Left{StaffID: id, On: on}
		})
	endMissing(c, KindStudent, c.have.Students, same, c.students.has, c.today,
		func(id string, on domain.Date) (string, domain.Event) {
			return student.TypeWithdrawn, &student.Withdrawn{StudentID: id, On: on}
		})
	endMissing(c, KindClass, c.have.Classes, same, c.classes.has, undated,
		func(id string, on domain.Date) (string, domain.Event) {
			return class.TypeClosed, &class.Closed{ClassID: id, On: on}
		})
	return c.err
}

func same(key string) string { return key }

// endMissing ends the rows of one kind that the package does not have, if the package has all of
// them and the row is of its source: on the first day that it may, or when it begins. Keys are
// sorted, so that the same plan has the same order.
func endMissing[K comparable, T interface{ When() students.Held }](
	c *comparison, kind Kind, have map[K]T, name func(K) string, inPackage func(string) bool,
	first domain.Date, end func(key K, on domain.Date) (wireType string, data domain.Event),
) {
	n, complete, unsure := c.tally.of(kind), slices.Contains(c.Complete, kind), c.unsure[kind]
	for _, key := range slices.SortedFunc(maps.Keys(have), func(a, b K) int {
		return cmp.Compare(name(a), name(b))
	}) {
		held := have[key].When()
		if !held.Holds {
			continue
		}
		n.Held++
		switch id := name(key); {
		case inPackage(id) || !complete:
		case held.Source != c.Source && !c.adopt:
			n.Foreign++
		case unsure[id], unsure[""] && !slices.Contains(guarded, kind):
			// the row that was refused may be this one
		default:
			on := max(first, held.From)
			wireType, data := end(key, on)
			if c.parked[data.Subject()] {
				continue // what happened to it last is not in the tables
			}
			n.Ended++
			n.Missing++
			c.forget(held, on, func(day domain.Date) (string, domain.Event) { return end(key, day) })
			c.say(wireType, time.Time{}, data)
		}
	}
}

// asks returns what nobody has agreed to yet. share is of what a school has; it does not matter
// whether the package says that people have left or no longer has them: one of last year does both.
func (c *comparison) asks(share float64) (asks []Ask) {
	for _, kind := range []Kind{
		KindStudent, KindStaff, KindLink, KindClass, KindAttending, KindTeaching,
	} {
		n := c.tally.of(kind)
		ask := Ask{Consent: consents[kind], Count: n.Ended, Held: n.Held}
		switch {
		case n.Missing > 0 && c.unsure[kind][""]:
			ask.Reason = "the package has rows whose id cannot be read: they may be of these"
		case !slices.Contains(guarded, kind):
			if n.Missing == 0 || n.Missing < n.Ended || n.Added+n.Changed+n.Unchanged > 0 {
				continue
			}
			ask.Reason = "the package has none, and says that these are all"
		case float64(n.Ended) > share*float64(n.Held):
			ask.Reason = fmt.Sprintf("it is more than %g %% of them", 100*share)
		default:
			continue
		}
		asks = append(asks, ask)
	}
	return asks
}

// Refuses returns the asks of which the number has not been agreed to.
func (a Consents) Refuses(asks []Ask) (left []Ask) {
	for _, ask := range asks {
		if a[ask.Consent] != ask.Count {
			left = append(left, ask)
		}
	}
	return left
}
