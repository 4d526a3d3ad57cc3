package imports

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// Limits of a package. They bound the memory that any upload can use.
const (
	maxLine          = 64 << 10  // bytes
	maxDirectoryRows = 1_000_000 // all but marks, scores and assessments, which are not held
	maxPlaces        = 20        // that a refusal names
	maxRefusals      = 100       // different ones
)

// contents are what a plan holds of a package: everything but marks, scores and assessments.
type contents struct {
	Header
	school      *School
	classes     list[Class]
	students    list[Student]
	staff       list[Staff]
	links       list[Link]
	guardians   map[string]*Link // the last link of each, which says how to reach them
	memberships list[Membership]
	facts       int // rows that are not held
	refused     Refusals
	// keys of refused rows, which may be of what would end otherwise; "" is a key that could not
	// be read either
	unsure map[Kind]map[string]bool
	// how often a mark, score or assessment occurs that occurs more than once: the last one counts
	repeated map[factKey]int
}

// list holds rows in the order of the package, one of each key.
type list[T any] struct {
	rows  []entry[T]
	index map[string]int
}

type entry[T any] struct {
	row  T
	time time.Time // zero: not said
	// another row of the same key says something else: which of them is right is not known, nor
	// whether they are about the same person
	ambiguous bool
}

// put adds a row, unless it is there. It reports whether none of the key says something else.
func (l *list[T]) put(key string, row T, at time.Time) (unique bool) {
	if n, ok := l.index[key]; ok {
		e := &l.rows[n]
		e.ambiguous = e.ambiguous || !reflect.DeepEqual(e.row, row)
		return !e.ambiguous
	}
	if l.index == nil {
		l.index = make(map[string]int)
	}
	l.index[key] = len(l.rows)
	l.rows = append(l.rows, entry[T]{row: row, time: at})
	return true
}

// usable are the rows that are not ambiguous.
func (l *list[T]) usable() iter.Seq[*entry[T]] {
	return func(yield func(*entry[T]) bool) {
		for i := range l.rows {
			if !l.rows[i].ambiguous && !yield(&l.rows[i]) {
				return
			}
		}
	}
}

func (l *list[T]) has(key string) bool {
	_, ok := l.index[key]
	return ok
}

// Refusal is why rows of a package cannot be used, how many, and where some of them are. It has
// nothing of their content.
type Refusal struct {
	Kind   Kind     `json:"kind"`
	Reason string   `json:"reason"`
	Count  int64    `json:"count"`
	At     []string `json:"at" doc:"File, line and column of some of them"`
}

// Refusals are all that happened in a package.
type Refusals []Refusal

// Count is how many rows were refused.
func (r Refusals) Count() (n int64) {
	for _, one := range r {
		n += one.Count
	}
	return n
}

func (r *Refusals) add(kind Kind, reason, at string) {
	i := slices.IndexFunc(*r, func(have Refusal) bool {
		return have.Kind == kind && have.Reason == reason
	})
	switch {
	case i < 0 && len(*r) == maxRefusals:
		i = maxRefusals - 1 // reasons that differ in a number only
	case i < 0:
		i = len(*r)
		*r = append(*r, Refusal{Kind: kind, Reason: reason})
	}
	one := &(*r)[i]
	one.Count++
	if at != "" && len(one.At) < maxPlaces {
		one.At = append(one.At, at)
	}
}

// PackageError says that a package is none, and in which line.
type PackageError struct {
	Line   int
	Reason string
}

func (e *PackageError) Error() string {
	return fmt.Sprintf("line %d of the package %s", e.Line, e.Reason)
}

// scan reads a package and calls visit for each of its rows, with its place.
func scan(r io.Reader, visit func(row *Row, line int) error) (h Header, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxLine), maxLine)
	n, rows := 0, int64(0)
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if h.Source == "" {
			if h, err = parseHeader(lines.Bytes()); err != nil {
				return h, &PackageError{n, err.Error()}
			}
			continue
		}
		rows++
		var row Row
		err := json.Unmarshal(lines.Bytes(), &row, json.RejectUnknownMembers(true))
		if err != nil {
			return h, &PackageError{n, "is no row: " + reasonOf(err)}
		}
		if !isLine(row.At) || !isLine(row.Refused) {
			return h, &PackageError{n, fmt.Sprintf("has a place or a reason that is no line of at most "+
				"%d bytes", domain.MaxTextLength)}
		}
		if row.At == "" {
			row.At = fmt.Sprintf("line %d", n)
		}
		if err := visit(&row, n); err != nil {
			return h, err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return h, &PackageError{n + 1, fmt.Sprintf("is longer than %d bytes", maxLine)}
	case err != nil:
		return h, &PackageError{n + 1, "cannot be read: " + err.Error()}
	case h.Rows > 0 && h.Rows != rows:
		return h, &PackageError{n, fmt.Sprintf("is the last one, after %d rows, and the header says "+
			"that there are %d", rows, h.Rows)}
	case h.Source == "":
		return h, &PackageError{1, "is missing: it must be the header, with the source"}
	}
	return h, nil
}

// isLine reports that reports may print a text.
func isLine(text string) bool {
	var f domain.Faults
	f.OptionalName("", text)
	return len(f.List) == 0
}

// HeaderOf reads the header of a package that is compressed with gzip.
func HeaderOf(packed []byte) (Header, error) {
	unpacked, err := unpacking(packed)
	if err != nil {
		return Header{}, err
	}
	h, err := scan(unpacked, func(*Row, int) error { return errHeaderOnly })
	if errors.Is(err, errHeaderOnly) {
		err = nil
	}
	return h, err
}

var errHeaderOnly = errors.New("the rows are not of interest")

func parseHeader(line []byte) (h Header, err error) {
	if err := json.Unmarshal(line, &h, json.RejectUnknownMembers(true)); err != nil {
		return h, errors.New("is no header: " + reasonOf(err))
	}
	var f domain.Faults
	cloudevents.CheckSource([]byte(h.Source), &f) // events of another could never be written
	f.Check("/source", !domain.IsOwnSource(h.Source), "must not be one of Schoolbell's own")
	for _, kind := range h.Complete {
		f.Check("/complete", slices.Contains(ends, kind), "has %q, but only %v can be complete",
			kind, ends)
	}
	if len(f.List) > 0 {
		return h, fmt.Errorf("is no header: %s %s", f.List[0].Pointer, f.List[0].Reason)
	}
	return h, nil
}

// reasonOf describes an error of decoding without the value that it is about, nor a name that it
// does not expect: where a converter has taken the first row for the titles, names are cells.
func reasonOf(err error) string {
	if bad, ok := errors.AsType[*json.SemanticError](err); ok {
		if errors.Is(err, json.ErrUnknownName) {
			return strings.TrimSpace(string(bad.JSONPointer.Parent()) +
				" has a member that does not belong there")
		}
		return string(bad.JSONPointer) + " is not of the right form"
	}
	return "it is not valid JSON"
}

// readContents reads what a plan holds of a package. today is the last day but a year that dates of
// it may name.
func readContents(r io.Reader, today domain.Date) (*contents, error) {
	c := &contents{
		guardians: make(map[string]*Link), unsure: make(map[Kind]map[string]bool),
		repeated: make(map[factKey]int),
	}
	held, seen := 0, make(map[factKey]bool)
	h, err := scan(r, func(row *Row, line int) error {
		if isFact(row.Kind) {
			c.facts++
			switch key := factKeyOf(row); {
			case row.Refused != "":
				c.refused.add(row.Kind, row.Refused, row.At)
			case seen[key]:
				c.repeated[key] = max(c.repeated[key], 1) + 1
			default:
				seen[key] = true
			}
			return nil
		}
		if held++; held > maxDirectoryRows {
			return &PackageError{line, fmt.Sprintf("is one more than %d rows about people and classes",
				maxDirectoryRows)}
		}
		c.take(row, today)
		return nil
	})
	c.Header = h
	for l := range c.links.usable() {
		c.guardians[l.row.GuardianID] = &l.row
	}
	return c, err
}

// take adds a row, or what can be said about one that cannot be used.
func (c *contents) take(row *Row, today domain.Date) {
	switch {
	case row.Kind != KindSchool && !slices.Contains(ends, row.Kind):
		for _, kind := range ends { // it may be of any
			c.unsureOf(kind, "")
		}
		c.refused.add(kindUnknown, "the kind of row does not exist", row.At)
		return
	case row.Refused != "":
		c.refuse(row.Kind, givenKey(row), row.Refused, row.At)
		return
	}
	switch row.Kind {
	case KindSchool:
		var s School
		if c.decode(row, &s, today) {
			c.school = &s
		}
	case KindClass:
		take(c, &c.classes, row, today, func(v *Class) string { return v.ClassID })
	case KindStudent:
		take(c, &c.students, row, today, func(v *Student) string { return v.StudentID })
	case KindStaff:
		take(c, &c.staff, row, today, func(v *Staff) string { return v.StaffID })
	case KindLink:
		take(c, &c.links, row, today, func(v *Link) string {
			return LinkKey(v.StudentID, v.GuardianID)
		})
	case KindAttending, KindTeaching:
		take(c, &c.memberships, row, today, func(v *Membership) string {
			// the most numerous rows share their texts
			v.ClassID = unique.Make(v.ClassID).Value()
			v.PersonID = unique.Make(v.PersonID).Value()
			v.Role = unique.Make(v.Role).Value()
			return v.MembershipID
		})
	}
}

// ambiguous is why rows are refused of which one id has several.
const ambiguous = "another row has this id and says something else: none of them is taken"

// take adds a row to the list of its kind.
func take[T any, P interface {
	*T
	validated
}](
	c *contents, to *list[T], row *Row, today domain.Date, keyOf func(*T) string,
) {
	v := new(T)
	if !c.decode(row, P(v), today) {
		return
	}
	if key := keyOf(v); !to.put(key, *v, row.Time) {
		c.refuse(row.Kind, key, ambiguous, row.At)
	}
}

// validated is the data of a row.
type validated interface{ Validate(f *domain.Faults) }

// decode reads the data of a row, and refuses it when something is wrong with it.
func (c *contents) decode(row *Row, into validated, today domain.Date) bool {
	reason := decode(row, into, today)
	if m, ok := into.(*Membership); ok && reason == "" && m.kind() != row.Kind {
		reason = "/role is not one of this kind of row"
	}
	if reason == "" {
		return true
	}
	c.refuse(row.Kind, keyOf(row), reason, row.At)
	return false
}

// decode reads the data of a row. The reason is empty when nothing is wrong with it.
func decode(row *Row, into validated, today domain.Date) (reason string) {
	if err := json.Unmarshal(row.Data, into, json.RejectUnknownMembers(true)); err != nil {
		return reasonOf(err)
	}
	f := domain.Faults{Day: today}
	into.Validate(&f)
	if len(f.List) > 0 {
		return f.List[0].Pointer + " " + f.List[0].Reason
	}
	return ""
}

func (c *contents) refuse(kind Kind, key, reason, at string) {
	c.refused.add(kind, reason, at)
	c.unsureOf(kind, key)
	switch kind { // the two share their ids, and the role may be what is wrong with the row
	case KindAttending:
		c.unsureOf(KindTeaching, key)
	case KindTeaching:
		c.unsureOf(KindAttending, key)
	}
}

func (c *contents) unsureOf(kind Kind, key string) {
	if c.unsure[kind] == nil {
		c.unsure[kind] = make(map[string]bool)
	}
	c.unsure[kind][key] = true
}

// givenKey is the key that a converter gives a row that it could not read. One that no row can have
// is none: it would protect nobody.
func givenKey(row *Row) string {
	var f domain.Faults
	if row.Kind == KindLink {
		studentID, guardianID, _ := strings.Cut(row.Key, "\n")
		f.ID("", studentID)
		f.ID("", guardianID)
	} else {
		f.ID("", row.Key)
	}
	if f.Err() != nil {
		return ""
	}
	return row.Key
}

// keyOf finds out whose row it is that cannot be used. It is empty when that cannot be known.
func keyOf(row *Row) string {
	var id struct {
		Class      string `json:"class_id"`
		Student    string `json:"student_id"`
		Staff      string `json:"staff_id"`
		Guardian   string `json:"guardian_id"`
		Membership string `json:"membership_id"`
	}
	if json.Unmarshal(row.Data, &id) != nil {
		return ""
	}
	var f domain.Faults
	key := ""
	switch row.Kind {
	case KindClass:
		key = id.Class
	case KindStudent:
		key = id.Student
	case KindStaff:
		key = id.Staff
	case KindLink:
		f.ID("", id.Student)
		f.ID("", id.Guardian)
		if f.Err() == nil {
			return LinkKey(id.Student, id.Guardian)
		}
		return ""
	case KindAttending, KindTeaching:
		key = id.Membership
	}
	if f.ID("", key); f.Err() != nil {
		return ""
	}
	return key
}
