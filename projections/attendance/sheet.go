package attendance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/domain/attendance"
)

// sheet is a student's marks of one month, in the order of days and sessions.
//
// It is written as one text, which no query looks into: "=7A" names the class of the marks that
// follow, and "02Pday" is the mark of the second in the session "day". Tabs end both, as ids cannot
// hold them.
type sheet []mark

type mark struct {
	day                    int // of the month
	session, class, status string
}

const sheetSpace = 32 // marks that most months have at most

// letters stand for the statuses.
var letters = map[string]byte{
	attendance.Present: 'P', attendance.Late: 'L', attendance.AbsentExcused: 'E',
	attendance.AbsentUnexcused: 'U',
}

func statusOf(letter byte) string {
	switch letter {
	case 'P':
		return attendance.Present
	case 'L':
		return attendance.Late
	case 'E':
		return attendance.AbsentExcused
	case 'U':
		return attendance.AbsentUnexcused
	}
	return ""
}

func (m *mark) absent() bool {
	return m.status == attendance.AbsentExcused || m.status == attendance.AbsentUnexcused
}

func (m *mark) unexcused() bool { return m.status == attendance.AbsentUnexcused }

// parseSheet appends the marks of a text to s.
func parseSheet(s sheet, text string) (sheet, error) {
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
				day: int(entry[0]-'0')*10 + int(entry[1]-'0'), status: statusOf(entry[2]),
				session: entry[3:], class: class,
			}
			if m.status != "" && m.day >= 1 && m.day <= 31 {
				s = append(s, m)
				continue
			}
		}
		return nil, fmt.Errorf("%.40q is no mark of a sheet", entry)
	}
	return s, nil
}

// put adds a mark in its place, or replaces the one of its day and session, which it returns.
func (s sheet) put(m mark) (_ sheet, old mark) {
	i, found := slices.BinarySearchFunc(s, m, func(a, b mark) int {
		return cmp.Or(a.day-b.day, strings.Compare(a.session, b.session))
	})
	if found {
		old, s[i] = s[i], m
		return s, old
	}
	return slices.Insert(s, i, m), old
}

func (s sheet) text() string {
	b := make([]byte, 0, 16+8*len(s))
	class := ""
	for i := range s {
		m := &s[i]
		if m.class != class {
			class = m.class
			b = append(append(append(b, '='), class...), '\t')
		}
		b = append(b, '0'+byte(m.day/10), '0'+byte(m.day%10), letters[m.status])
		b = append(append(b, m.session...), '\t')
	}
	return string(b)
}
