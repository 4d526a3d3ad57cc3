package domain

import (
	"cmp"
	"strconv"
	"strings"
)

// SchoolYear is a school year as it is compared: schools write the same one as "2026", "2026-2027" and
// "2026/27", and "10" comes after "9". It is the first number in the label; of two digits, when the
// next number follows, it is of this century: "26/27" is "2026". A label without a number is a year
// of its own, before all others. The tables have the same rule in the function school_year.
type SchoolYear struct {
	number int64
	name   string // of one without a number
}

const maxYearDigits = 18 // fit into an integer

// YearOf returns the school year that a label names.
func YearOf(label Label) SchoolYear {
	text := string(label)
	from := strings.IndexAny(text, "0123456789")
	if from < 0 {
		return SchoolYear{name: text}
	}
	first, rest := digitsOf(text[from:])
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil || len(first) > maxYearDigits {
		return SchoolYear{name: text}
	}
	if next := strings.TrimLeft(rest, " -/–"); len(first) == 2 && next != rest {
		second, _ := digitsOf(next)
		if m, err := strconv.ParseInt(second, 10, 64); err == nil && m == (n+1)%100 {
			n += 2000
		}
	}
	return SchoolYear{number: n}
}

func digitsOf(text string) (digits, rest string) {
	rest = strings.TrimLeft(text, "0123456789")
	return text[:len(text)-len(rest)], rest
}

// Compare orders school years.
func (y SchoolYear) Compare(o SchoolYear) int {
	return cmp.Or(cmp.Compare(y.number, o.number), cmp.Compare(y.name, o.name))
}
