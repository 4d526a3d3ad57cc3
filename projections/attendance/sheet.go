package attendance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/presence"
)

// sheet is a student's marks of one month, in the order of days and sessions.
//
// It is written as one text, which no query looks into: "=7A" names the class of the marks that
// follow, and "02Pday" is the mark of the second in the session "day"; its letter is small when the
// mark is a correction. Tabs end both, as ids cannot hold them. The days with an absence come first,
// and a line break before the others: what is counted of a year are absences, so its queries read
// no more than the first line of each sheet.
type sheet []mark

type mark struct {
	day                    int // of the month
	session, class, status string
	corrected              bool
}

const sheetSpace = 32 // marks that most months have at most

// letters stand for the statuses.
var letters = map[string]byte{
	attendance.Present: 'P', attendance.Late: 'L', attendance.AbsentExcused: 'E',
	attendance.AbsentUnexcused: 'U',
}

// small turns a letter into that of a correction.
const small = 'a' - 'A'

func statusOf(letter byte) (status string, corrected bool) {
	corrected = letter >= 'a'
	switch letter &^ small {
	case 'P':
		return attendance.Present, corrected
	case 'L':
		return attendance.Late, corrected
	case 'E':
		return attendance.AbsentExcused, corrected
	case 'U':
		return attendance.AbsentUnexcused, corrected
	}
	return "", false
}

func (m *mark) absent() bool { return presence.IsAbsent(m.status) }

func (m *mark) unexcused() bool { return m.status == attendance.AbsentUnexcused }

func compareMarks(a, b mark) int {
	return cmp.Or(a.day-b.day, strings.Compare(a.session, b.session))
}

// parseSheet appends the marks of a text to s.
func parseSheet(s sheet, text string) (sheet, error) {
	away, others, both := strings.Cut(text, "\n")
	s, err := parseMarks(s, away)
	if err != nil || !both {
		return s, err
	}
	if s, err = parseMarks(s, others); away != "" {
		slices.SortFunc(s, compareMarks)
	}
	return s, err
}

// parseMarks appends the marks of a line of a text.
func parseMarks(s sheet, text string) (sheet, error) {
	class := ""
	for rest := text; rest != ""; {
		entry, after, ended := strings.Cut(rest, "\t")
		rest = after
		switch {
		case ended && entry != "" && entry[0] == '=':
			class = entry[1:]
			continue
		case ended && len(entry) > 3:
			m := mark{
				day: int(entry[0]-'0')*10 + int(entry[1]-'0'), session: entry[3:], class: class,
			}
			m.status, m.corrected = statusOf(entry[2])
			if m.status != "" && m.day >= 1 && m.day <= 31 {
				s = append(s, m)
				continue
			}
		}
		return nil, fmt.Errorf("%.40q is no mark of a sheet", entry)
	}
	return s, nil
}

// put adds a mark in its place, or replaces the one of its day and session, which it returns. A
// correction outranks what is no correction, also when that comes later: a register that is exported
// again undoes none. The mark is then not taken.
func (s sheet) put(m mark) (_ sheet, old mark, taken bool) {
	i, found := slices.BinarySearchFunc(s, m, compareMarks)
	switch {
	case !found:
		return slices.Insert(s, i, m), old, true
	case s[i].corrected && !m.corrected:
		return s, s[i], false
	}
	old, s[i] = s[i], m
	return s, old, true
}

func (s sheet) text() string {
	b := make([]byte, 0, 16+8*len(s))
	var away uint32 // days with an absence, as bits
	for i := range s {
		if s[i].absent() {
			away |= 1 << s[i].day
		}
	}
	class, others := "", false
	for i := range s {
		if away&(1<<s[i].day) != 0 {
			b, class = s[i].append(b, class)
		} else {
			others = true
		}
	}
	if !others {
		return string(b)
	}
	b, class = append(b, '\n'), ""
	for i := range s {
		if away&(1<<s[i].day) == 0 {
			b, class = s[i].append(b, class)
		}
	}
	return string(b)
}

// append writes a mark after one of a class.
func (m *mark) append(b []byte, class string) ([]byte, string) {
	if m.class != class {
		b = append(append(append(b, '='), m.class...), '\t')
	}
	letter := letters[m.status]
	if m.corrected {
		letter |= small
	}
	b = append(b, '0'+byte(m.day/10), '0'+byte(m.day%10), letter)
	return append(append(b, m.session...), '\t'), m.class
}
