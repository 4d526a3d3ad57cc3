package performance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/marks"
)

// entry is what a student has in an assessment, as tables store it: a line of fields with tabs
// between, which no id contains. It is text because the server only ever passes it on, because it is
// short, and because an operator can read it:
//
//	assessment, scale, category, weight, day on which it was first entered, and each attempt
//
// An attempt is its number, unless it is 1, and its score and maximum, or the first letter of the
// status that it has in their place; x marks extra credit and ! a correction:
//
//	quiz-3		quiz		20697	7.5/10	2=11/10x!	3=a
type entry struct {
	assessmentID    string
	scale, category string
	weight          domain.Decimal
	day             domain.Date // in UTC
	attempts        []attempt
}

// attempt is one attempt at an assessment, in its entry.
type attempt struct {
	marks.Attempt
	extraCredit bool
	corrected   bool
}

// kind returns what the entry itself says of the kind of its score.
func (e *entry) kind() marks.Kind {
	return marks.Kind{Scale: e.scale, Category: e.category, Weight: e.weight}
}

// results returns the attempts by themselves.
func (e *entry) results() []marks.Attempt {
	all := make([]marks.Attempt, len(e.attempts))
	for i, a := range e.attempts {
		all[i] = a.Attempt
	}
	return all
}

// enter sets an attempt, unless a correction stands in its place, and returns whether it did.
func (e *entry) enter(a attempt) bool {
	at, exists := slices.BinarySearchFunc(e.attempts, a.Number,
		func(a attempt, n int64) int { return int(a.Number - n) })
	switch {
	case !exists:
		e.attempts = slices.Insert(e.attempts, at, a)
	case e.attempts[at].corrected && !a.corrected:
		return false
	default:
		e.attempts[at] = a
	}
	return true
}

// scoredAfter reports that there is a score of an attempt after the n-th.
func (e *entry) scoredAfter(n int64) bool {
	return slices.ContainsFunc(e.attempts,
		func(a attempt) bool { return a.Number > n && a.Status == "" })
}

func (e *entry) String() string {
	b := make([]byte, 0, 64)
	for _, field := range []string{e.assessmentID, e.scale, e.category} {
		b = append(append(b, field...), '\t')
	}
	if e.weight != 0 {
		b = e.weight.Append(b)
	}
	b = strconv.AppendInt(append(b, '\t'), int64(e.day), 10)
	for _, a := range e.attempts {
		b = append(b, '\t')
		if a.Number != 1 {
			b = append(strconv.AppendInt(b, a.Number, 10), '=')
		}
		if a.Status != "" {
			b = append(b, a.Status[0])
		} else {
			b = a.Max.Append(append(a.Score.Append(b), '/'))
		}
		if a.extraCredit {
			b = append(b, 'x')
		}
		if a.corrected {
			b = append(b, '!')
		}
	}
	return string(append(b, '\n'))
}

// statuses by their first letters.
var statuses = map[byte]string{
	assessment.Exempt[0]:  assessment.Exempt,
	assessment.Missing[0]: assessment.Missing,
	assessment.Absent[0]:  assessment.Absent,
}

// read takes the first entry of some, and returns the others. What it reads is its own writing.
func (e *entry) read(entries string) (rest string) {
	line, rest, _ := strings.Cut(entries, "\n")
	var weight, day string
	e.assessmentID, line, _ = strings.Cut(line, "\t")
	e.scale, line, _ = strings.Cut(line, "\t")
	e.category, line, _ = strings.Cut(line, "\t")
	weight, line, _ = strings.Cut(line, "\t")
	day, line, _ = strings.Cut(line, "\t")
	e.weight = 0
	if weight != "" {
		e.weight = parseDecimal(weight)
	}
	n, err := strconv.ParseInt(day, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("entry of %q: day: %s", e.assessmentID, err))
	}
	e.day, e.attempts = domain.Date(n), e.attempts[:0]
	for line != "" {
		var text string
		text, line, _ = strings.Cut(line, "\t")
		e.attempts = append(e.attempts, readAttempt(text))
	}
	return rest
}

func readAttempt(text string) (a attempt) {
	a.Number = 1
	if number, rest, found := strings.Cut(text, "="); found {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			panic(fmt.Sprintf("attempt %q: %s", text, err))
		}
		a.Number, text = n, rest
	}
	text, a.corrected = strings.CutSuffix(text, "!")
	text, a.extraCredit = strings.CutSuffix(text, "x")
	if score, maxScore, found := strings.Cut(text, "/"); found {
		a.Score, a.Max = parseDecimal(score), parseDecimal(maxScore)
	} else {
		a.Status = statuses[text[0]]
	}
	return a
}

func parseDecimal(text string) domain.Decimal {
	d, _, ok := domain.ParseDecimal([]byte(text))
	if !ok {
		panic(fmt.Sprintf("number %q of an entry is too large", text))
	}
	return d
}

// replace puts an entry in the place of another one, or at the end of entries. An empty one is none.
func replace(entries, old, by string) string {
	if old == "" {
		return entries + by
	}
	at := 0
	if !strings.HasPrefix(entries, old) {
		at = strings.Index(entries, "\n"+old) + 1
	}
	return entries[:at] + by + entries[at+len(old):]
}
