package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/presence"
)

// Facts are what a rule can look up about the school of the event that it plans. All of them are
// of one snapshot, at the event's position or a little later, and one that is missing is the zero
// value.
//
// A rule that needs one more kind of fact gets it here: a member of [Lookups] that reads it and a
// method that names it. The compiler then asks whoever builds Lookups for the rest: the read model
// that has it, and the independent fold of package verify.
type Facts struct{ *view }

// Now is when the event was appended to the log.
func (f Facts) Now() time.Time { return f.now }

// Today is the school's day at that time: the directory is looked up as of it.
func (f Facts) Today() domain.Date { return f.today }

// Student returns a student by id.
func (f Facts) Student(id string) Student { return find(f, &f.lookups.Student, f.onDay(id)) }

// Guardians returns the guardians of a student, the primary ones first, then by id.
func (f Facts) Guardians(studentID string) []Guardian {
	return find(f, &f.lookups.Guardians, f.onDay(studentID))
}

// Guardian returns a guardian by id, without Relation and Primary.
func (f Facts) Guardian(id string) Guardian { return find(f, &f.lookups.Guardian, f.key(id)) }

// Class returns the students who belong to a home class or section, by id.
func (f Facts) Class(classID string) []Student {
	return find(f, &f.lookups.Class, f.onDay(classID))
}

// Classes returns the ids of the school's home classes that have students.
func (f Facts) Classes() []string { return find(f, &f.lookups.Classes, f.onDay("")) }

// Staff returns the members of the school's staff, by id.
func (f Facts) Staff() []Staff { return find(f, &f.lookups.Staff, f.onDay("")) }

// Invoice returns an invoice by id.
func (f Facts) Invoice(id string) Invoice { return find(f, &f.lookups.Invoice, f.key(id)) }

// Payment returns a payment by id.
func (f Facts) Payment(id string) Payment { return find(f, &f.lookups.Payment, f.key(id)) }

// Account returns what happened to a student's fees, in the order of the log.
func (f Facts) Account(studentID string) []Movement {
	return find(f, &f.lookups.Account, f.key(studentID))
}

// Years returns the school years that are set, by their first day.
func (f Facts) Years() []calendar.YearSet { return find(f, &f.lookups.Years, f.key("")) }

// Days returns the single days that are set between two dates, both included.
func (f Facts) Days(from, to domain.Date) []calendar.DaySet {
	return find(f, &f.lookups.Days, PeriodKey{f.key(""), from, to})
}

// Stays returns when a student was in which home class, in the order of days.
func (f Facts) Stays(studentID string) []presence.Stay {
	return find(f, &f.lookups.Stays, f.key(studentID))
}

// Absences returns how a student's unexcused absence on a day began and ended, in the order of the
// log.
func (f Facts) Absences(studentID string, on domain.Date) []AbsenceChange {
	return find(f, &f.lookups.Absences, DayKey{f.key(studentID), on})
}

// Presence returns a student's marks between two dates, both included, by day and session, but no
// further back than [LongestPeriod] days: the tables hold marks by month, and a period without a
// limit would read all of them.
func (f Facts) Presence(studentID string, from, to domain.Date) []presence.Mark {
	return find(f, &f.lookups.Presence, f.period(studentID, from, to))
}

// ClassDays returns on which days a home class has marks, within the same limit.
func (f Facts) ClassDays(classID string, from, to domain.Date) []domain.Date {
	return find(f, &f.lookups.ClassDays, f.period(classID, from, to))
}

// Marked counts the marks of the school between two dates, within the same limit.
func (f Facts) Marked(from, to domain.Date) MarkCount {
	return find(f, &f.lookups.Marked, f.period("", from, to))
}

func (f Facts) period(id string, from, to domain.Date) PeriodKey {
	return PeriodKey{f.key(id), max(from, to.AddDays(1-LongestPeriod)), to}
}

// Scores returns a student's scores of a term, by subject and assessment.
func (f Facts) Scores(studentID string, year, term domain.Label) []Score {
	return find(f, &f.lookups.Scores, TermKey{f.key(studentID), year, term})
}

// Remarks returns the remarks on a student's term: the one on the whole term first, then by
// subject.
func (f Facts) Remarks(studentID string, year, term domain.Label) []Remark {
	return find(f, &f.lookups.Remarks, TermKey{f.key(studentID), year, term})
}

// Marks returns the scores that count for a class in a term, by student, subject and assessment.
func (f Facts) Marks(classID string, year, term domain.Label) []Mark {
	return find(f, &f.lookups.Marks, TermKey{f.key(classID), year, term})
}

// Published returns the terms of a year whose results were published to a class, in the order of
// publication.
func (f Facts) Published(classID string, year domain.Label) []Published {
	return find(f, &f.lookups.Published, YearKey{f.key(classID), year})
}

// Lookup reads one kind of fact for many keys at once. It returns one value for each key, in their
// order, and the zero value for a key without facts.
type Lookup[K comparable, V any] func(ctx context.Context, keys []K) ([]V, error)

// Lookups read the facts of one snapshot; [Facts] has the method of the same name for each of them.
// None of them may be nil.
type Lookups struct {
	Student   Lookup[DayKey, Student]
	Guardians Lookup[DayKey, []Guardian]
	Guardian  Lookup[Key, Guardian]
	Class     Lookup[DayKey, []Student]
	Classes   Lookup[DayKey, []string] // by school; the id is empty
	Staff     Lookup[DayKey, []Staff]  // by school; the id is empty
	Invoice   Lookup[Key, Invoice]
	Payment   Lookup[Key, Payment]
	Account   Lookup[Key, []Movement]
	Years     Lookup[Key, []calendar.YearSet]      // by school; the id is empty
	Days      Lookup[PeriodKey, []calendar.DaySet] // by school; the id is empty
	Stays     Lookup[Key, []presence.Stay]
	Absences  Lookup[DayKey, []AbsenceChange]
	Presence  Lookup[PeriodKey, []presence.Mark]
	ClassDays Lookup[PeriodKey, []domain.Date]
	Marked    Lookup[PeriodKey, MarkCount] // by school; the id is empty
	Scores    Lookup[TermKey, []Score]
	Remarks   Lookup[TermKey, []Remark]
	Marks     Lookup[TermKey, []Mark]
	Published Lookup[YearKey, []Published]
}

// Key names one thing of a school: a student, a class, an invoice.
type Key struct{ School, ID string }

// DayKey names one thing of a school as of a day.
type DayKey struct {
	Key
	On domain.Date
}

// PeriodKey names a student, or a class, between two dates, both included.
type PeriodKey struct {
	Key
	From, To domain.Date
}

// YearKey names a class in a year.
type YearKey struct {
	Key
	Year domain.Label
}

// TermKey names a student or a class in a term.
type TermKey struct {
	Key
	Year, Term domain.Label
}

// Snapshot is the facts at one moment. It is for one goroutine.
type Snapshot struct {
	Lookups
	// Next returns the offset of the first event of a partition that the snapshot does not have.
	Next func(partition int32) int64
	// Close releases what the snapshot holds. Closing it twice is harmless.
	Close func()
}

// factCache holds the facts that the events of one batch have looked up.
//
// Rules are pure functions and read one fact after the other, each of which would be a query of its
// own. So a rule first runs against whatever the cache has; a fact that is missing reads as the
// zero value and is noted. Then all that was missed, by all events of the batch, is read with one
// query for each kind, and the rules that missed something run again.
type factCache struct {
	lookups *Lookups
	kinds   map[any]any // *Lookup[K, V] → *kind[K, V]
	missing []func(context.Context) error
}

// kind is what the cache has of one kind of fact.
type kind[K comparable, V any] struct {
	cached  map[K]V
	missing []K
	noted   map[K]bool // the keys in missing
}

// view is what one event sees of a cache.
type view struct {
	*factCache
	school string
	now    time.Time
	today  domain.Date
	missed bool // a fact was not in the cache yet
	used   bool // any fact was looked up
}

func (v *view) key(id string) Key { return Key{v.school, id} }

func (v *view) onDay(id string) DayKey { return DayKey{v.key(id), v.today} }

func newFactCache(l *Lookups) *factCache { return &factCache{lookups: l, kinds: map[any]any{}} }

// find returns a fact from the cache, or notes that it is missing. The address of the lookup
// distinguishes the kinds.
func find[K comparable, V any](f Facts, lookup *Lookup[K, V], key K) V {
	k, ok := f.kinds[lookup].(*kind[K, V])
	if !ok {
		k = &kind[K, V]{cached: map[K]V{}, noted: map[K]bool{}}
		f.kinds[lookup] = k
	}
	f.used = true
	value, ok := k.cached[key]
	if ok {
		return value
	}
	f.missed = true
	if len(k.missing) == 0 {
		f.missing = append(f.missing, func(ctx context.Context) error { return k.read(ctx, *lookup) })
	}
	if !k.noted[key] {
		k.noted[key] = true
		k.missing = append(k.missing, key)
	}
	return value
}

func (k *kind[K, V]) read(ctx context.Context, lookup Lookup[K, V]) error {
	values, err := lookup(ctx, k.missing)
	if err != nil {
		return err
	}
	for i, key := range k.missing {
		k.cached[key] = values[i]
	}
	k.missing = nil
	clear(k.noted)
	return nil
}

// maxRounds bounds how often rules may look up facts that depend on other facts: a student, then
// the class, and so on. More than that is a rule that does not end.
const maxRounds = 8

// complete calls try for n things, and again for those for which it reports that a fact was missing,
// until there are none.
func (c *factCache) complete(ctx context.Context, n int, try func(i int) bool) error {
	todo := make([]int, n)
	for i := range todo {
		todo[i] = i
	}
	for range maxRounds {
		var incomplete []int
		for _, i := range todo {
			if !try(i) {
				incomplete = append(incomplete, i)
			}
		}
		if len(incomplete) == 0 {
			return nil
		}
		if err := c.resolve(ctx); err != nil {
			return err
		}
		todo = incomplete
	}
	return fmt.Errorf("%d of them are still looking up facts after %d rounds", len(todo), maxRounds)
}

// resolve reads all facts that were missing.
func (c *factCache) resolve(ctx context.Context) error {
	for _, read := range c.missing {
		if err := read(ctx); err != nil {
			return err
		}
	}
	c.missing = nil
	return nil
}
