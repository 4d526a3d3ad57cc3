package domain

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits on what an event may hold. They keep one event far below the log's record limit and every
// key short enough for an index.
const (
	MaxIDLength    = 128       // bytes in an identifier
	MaxLabelLength = 32        // bytes in a label
	MaxTextLength  = 512       // bytes in a name, title or reason
	MaxBodyLength  = 16 * 1024 // bytes in the body of an announcement
	MaxListLength  = 500       // entries in a list
	MaxAmount      = 1_000_000_000_000
	MaxScore       = 1_000_000 // a maximum lies below it
	MaxWeight      = 1_000
	maxEmailLength = 254 // bytes, as SMTP allows
)

// Fault is one thing that is wrong with an input: where, as a JSON pointer (RFC 6901), and why.
type Fault struct {
	Pointer string `json:"pointer"`
	Reason  string `json:"reason"`
}

// Faults collects everything that is wrong with an event, so that a producer can repair it in one
// go. The zero value is empty and ready. Pointers are relative to the value under validation.
type Faults struct {
	List []Fault
	// Day is that of the event, when it arrives: its dates must not lie more than a year after it.
	// It is zero for what is in the log already, which no new rule may make invalid.
	Day Date

	rules func(pointer string, r Rule) // see RulesOf
}

// Add records a fault. Validation of events calls the methods below instead, which schemas are
// learnt from.
func (f *Faults) Add(pointer, format string, args ...any) {
	f.List = append(f.List, Fault{Pointer: pointer, Reason: fmt.Sprintf(format, args...)})
}

// Err returns nil when there is no fault, else an *InvalidError with all of them.
func (f *Faults) Err() error {
	if len(f.List) == 0 {
		return nil
	}
	return &InvalidError{Faults: f.List}
}

// InvalidError says that an event is not valid, and all the reasons.
type InvalidError struct {
	Faults []Fault
}

func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("invalid event: ")
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Pointer)
		b.WriteString(" ")
		b.WriteString(f.Reason)
	}
	return b.String()
}

// Check applies a rule that one field alone cannot break, for example that a date lies after
// another one. It is recorded at pointer, and schemas leave it out: see [Rule.Combined].
func (f *Faults) Check(pointer string, ok bool, format string, args ...any) {
	if f.rules != nil {
		f.rules(pointer, Rule{Combined: true})
	}
	if !ok {
		f.Add(pointer, format, args...)
	}
}

// Key checks the required identifier of the fact itself: two events of the type with the same key
// are the same fact, repeated. Ids that an event only refers to, and those of entities that change,
// are checked with [Faults.ID].
func (f *Faults) Key(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{Key: true})
	}
	f.ID(pointer, v)
}

// The methods below check one field each. They report every fault instead of returning the first, and
// report the rule to RulesOf before they look at the value, so that it is learnt from any data.

// ID checks a required identifier: 1 to MaxIDLength bytes of printable text without spaces at its
// ends.
func (f *Faults) ID(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{MinLength: 1})
	}
	switch {
	case v == "":
		f.Add(pointer, "is required")
	default:
		f.OptionalID(pointer, v)
	}
}

// OptionalID checks an identifier that may be empty.
func (f *Faults) OptionalID(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{MaxLength: MaxIDLength, Format: FormatID})
	}
	if len(v) > MaxIDLength {
		f.Add(pointer, "is longer than %d bytes", MaxIDLength)
		return
	}
	if !printable(v) || strings.TrimSpace(v) != v {
		f.Add(pointer, "must be printable text without spaces at its ends")
	}
}

// Text checks a required text of at most limit bytes.
func (f *Faults) Text(pointer, v string, limit int) {
	if f.rules != nil {
		f.rules(pointer, Rule{MinLength: 1, Format: FormatText})
	}
	if strings.TrimSpace(v) == "" {
		f.Add(pointer, "is required")
		return
	}
	f.OptionalText(pointer, v, limit)
}

// OptionalText checks a text that may be empty.
func (f *Faults) OptionalText(pointer, v string, limit int) {
	if f.rules != nil {
		f.rules(pointer, Rule{MaxLength: limit})
	}
	if len(v) > limit {
		f.Add(pointer, "is longer than %d bytes", limit)
		return
	}
	if !utf8.ValidString(v) {
		f.Add(pointer, "is not valid UTF-8")
		return
	}
	if strings.ContainsRune(v, 0) {
		f.Add(pointer, "must not contain a NUL character")
	}
}

// Name checks a required name or title of at most MaxTextLength bytes: one line, as it stands in
// messages and lists next to what others have written.
func (f *Faults) Name(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{MinLength: 1, Format: FormatName})
	}
	if strings.TrimSpace(v) == "" {
		f.Add(pointer, "is required")
		return
	}
	f.line(pointer, v)
}

// OptionalName checks a name or title that may be empty.
func (f *Faults) OptionalName(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{Format: FormatLine})
	}
	f.line(pointer, v)
}

func (f *Faults) line(pointer, v string) {
	faults := len(f.List)
	f.OptionalText(pointer, v, MaxTextLength)
	if len(f.List) == faults && strings.ContainsFunc(v, breaksLine) {
		f.Add(pointer, "must not contain line breaks, control characters or changes of direction")
	}
}

// breaksLine reports a character by which a name could forge what stands around it: controls, the
// separators of lines and paragraphs, and what overrides, embeds or isolates the direction of text.
// The marks that names in Arabic and Hebrew need are none of these.
func breaksLine(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' ||
		r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// Date checks a required date.
func (f *Faults) Date(pointer string, d Date) {
	if d.IsZero() {
		f.Add(pointer, "is required")
		return
	}
	f.OptionalDate(pointer, d)
}

var earliestDate, latestDate = NewDate(1900, 1, 1), NewDate(2199, 12, 31)

// maxDaysAhead is how far a date may lie after its event: an invoice may be due, or a term end, in
// a year's time. What lies further ahead in exports of real schools is a typing error.
const maxDaysAhead = 366

// maxDaysPlanned is the same for what schools plan years ahead, as their calendar.
const maxDaysPlanned = 4 * 366

// OptionalDate checks a date that may be absent.
func (f *Faults) OptionalDate(pointer string, d Date) { f.within(pointer, d, maxDaysAhead) }

// PlannedDate checks a required date of a plan, which may lie years after its event.
func (f *Faults) PlannedDate(pointer string, d Date) {
	if d.IsZero() {
		f.Add(pointer, "is required")
		return
	}
	f.within(pointer, d, maxDaysPlanned)
}

func (f *Faults) within(pointer string, d Date, daysAhead int) {
	switch {
	case d.IsZero():
	case d < earliestDate || d > latestDate:
		f.Add(pointer, "must lie between %s and %s", earliestDate, latestDate)
	case !f.Day.IsZero() && d > f.Day.AddDays(daysAhead):
		f.Add(pointer, "must not lie more than %d days after the event, which is of %s",
			daysAhead, f.Day)
	}
}

// Amount checks a sum of money in minor units: positive, and small enough that sums never overflow.
func (f *Faults) Amount(pointer string, v int64) {
	if f.rules != nil {
		f.rules(pointer, Rule{Min: 1, Max: MaxAmount})
	}
	if v <= 0 || v > MaxAmount {
		f.Add(pointer, "must be a positive number of minor units, at most %d", int64(MaxAmount))
	}
}

// OptionalAmount checks a sum of money that may be absent, which is 0.
func (f *Faults) OptionalAmount(pointer string, v int64) {
	if f.rules != nil {
		f.rules(pointer, Rule{Min: 0, Max: MaxAmount})
	}
	if v < 0 || v > MaxAmount {
		f.Add(pointer, "must be a positive number of minor units, at most %d", int64(MaxAmount))
	}
}

// Currency checks an ISO 4217 code: three capital letters.
func (f *Faults) Currency(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{MinLength: 3, MaxLength: 3, Format: FormatCurrency})
	}
	if !isCurrency(v) {
		f.Add(pointer, "must be an ISO 4217 currency code, for example EUR")
	}
}

// OptionalCurrency checks a currency that may be absent.
func (f *Faults) OptionalCurrency(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{MaxLength: 3, Format: FormatCurrency})
	}
	if v != "" && !isCurrency(v) {
		f.Add(pointer, "must be an ISO 4217 currency code, for example EUR")
	}
}

func isCurrency(v string) bool {
	return len(v) == 3 && strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// OneOf checks that a value is among those allowed.
func (f *Faults) OneOf(pointer, v string, allowed ...string) {
	if f.rules != nil {
		f.rules(pointer, Rule{Enum: allowed})
	}
	if !slices.Contains(allowed, v) {
		f.Add(pointer, "must be one of %s", strings.Join(allowed, ", "))
	}
}

// IDs checks a list of identifiers.
func (f *Faults) IDs(pointer string, ids []string) {
	if f.rules != nil {
		f.rules(pointer, Rule{MaxItems: MaxListLength})
	}
	if len(ids) > MaxListLength {
		f.Add(pointer, "has more than %d entries", MaxListLength)
		return
	}
	for i, id := range ids {
		f.ID(fmt.Sprintf("%s/%d", pointer, i), id)
	}
}

// Entries checks the length of a list of other things than identifiers.
func (f *Faults) Entries(pointer string, length, limit int) {
	if f.rules != nil {
		f.rules(pointer, Rule{MaxItems: limit})
	}
	if length > limit {
		f.Add(pointer, "has more than %d entries", limit)
	}
}

// Score checks a score against its maximum, both in points. Extra credit takes it up to twice the
// maximum.
func (f *Faults) Score(pointer string, score, maxScore Decimal, extraCredit bool) {
	if f.rules != nil {
		f.rules(pointer, Rule{Min: 0, Max: 2 * MaxScore, Combined: true})
		f.rules("/max_score", Rule{Above: true, Below: true, Max: MaxScore, Combined: true})
	}
	// The log has maxima of exactly MaxScore, which once was the largest.
	if maxScore <= 0 || maxScore > MaxScore*DecimalUnit || !f.Day.IsZero() && maxScore == MaxScore*DecimalUnit {
		f.Add("/max_score", "must be positive and less than %d", MaxScore)
		return
	}
	switch {
	case extraCredit && (score < 0 || score > 2*maxScore):
		f.Add(pointer, "must lie between 0 and twice max_score")
	case !extraCredit && (score < 0 || score > maxScore):
		f.Add(pointer, "must lie between 0 and max_score, unless it has extra_credit")
	}
}

// OptionalWeight checks a weight that may be absent.
func (f *Faults) OptionalWeight(pointer string, w Decimal) {
	if f.rules != nil {
		f.rules(pointer, Rule{Min: 0, Max: MaxWeight})
	}
	if w < 0 || w > MaxWeight*DecimalUnit {
		f.Add(pointer, "must be positive and at most %d", MaxWeight)
	}
}

// Between checks a whole number.
func (f *Faults) Between(pointer string, v, lo, hi int64) {
	if f.rules != nil {
		f.rules(pointer, Rule{Min: lo, Max: hi})
	}
	if v < lo || v > hi {
		f.Add(pointer, "must be between %d and %d", lo, hi)
	}
}

// Label checks a required label.
func (f *Faults) Label(pointer string, l Label) {
	if f.rules != nil {
		f.rules(pointer, Rule{MinLength: 1})
	}
	if l == "" {
		f.Add(pointer, "is required")
		return
	}
	f.OptionalLabel(pointer, l)
}

// OptionalLabel checks a label that may be absent.
func (f *Faults) OptionalLabel(pointer string, l Label) {
	if f.rules != nil {
		f.rules(pointer, Rule{MaxLength: MaxLabelLength})
	}
	if len(l) > MaxLabelLength {
		f.Add(pointer, "is longer than %d bytes", MaxLabelLength)
		return
	}
	f.OptionalID(pointer, string(l))
}

func printable(s string) bool {
	ascii := 0
	for ascii < len(s) && s[ascii] >= 0x20 && s[ascii] < 0x7f {
		ascii++
	}
	for _, r := range s[ascii:] {
		if r < 0x20 || r == 0x7f || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// AtLeast checks that a number is not too small.
func (f *Faults) AtLeast(pointer string, v, minimum int64) {
	if f.rules != nil {
		f.rules(pointer, Rule{Min: minimum, Max: math.MaxInt64})
	}
	if v < minimum {
		f.Add(pointer, "must be at least %d", minimum)
	}
}
