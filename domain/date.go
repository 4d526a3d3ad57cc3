package domain

import (
	"fmt"
	"time"
)

// Date is a local calendar date of the school, without a time zone: the number of days since 31
// December of the year 0, so that 1 January of the year 1 is 1 and the zero value means "no date".
// Dates compare with < and ==.
type Date int32

// unixEpochDate is 1 January 1970 as a Date.
const unixEpochDate Date = 719163

// NewDate returns the date of a year, month and day; values out of range are carried over as
// time.Date does.
func NewDate(year int, month time.Month, day int) Date {
	return Date(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix()/86400) + unixEpochDate
}

// DateOf returns the date that a clock showing t shows, in t's own location.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return NewDate(y, m, d)
}

// ParseDate reads "2021-08-31". A date that does not exist in the calendar is an error.
func ParseDate(s string) (Date, error) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, fmt.Errorf("date %.20q: want year-month-day, for example 2021-08-31", s)
	}
	year, ok1 := digits(s[0:4])
	month, ok2 := digits(s[5:7])
	day, ok3 := digits(s[8:10])
	if !ok1 || !ok2 || !ok3 {
		return 0, fmt.Errorf("date %.20q: want year-month-day, for example 2021-08-31", s)
	}
	d := NewDate(year, time.Month(month), day)
	if y, m, dd := d.Time().Date(); y != year || int(m) != month || dd != day || year == 0 {
		return 0, fmt.Errorf("date %q does not exist", s)
	}
	return d, nil
}

func digits(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int(c)
	}
	return n, true
}

// IsZero reports that there is no date.
func (d Date) IsZero() bool { return d == 0 }

// Time returns midnight UTC of the date.
func (d Date) Time() time.Time { return time.Unix(int64(d-unixEpochDate)*86400, 0).UTC() }

// UnixDays returns the number of days since 1 January 1970.
func (d Date) UnixDays() int32 { return int32(d - unixEpochDate) }

// DateFromUnixDays is the reverse of UnixDays.
func DateFromUnixDays(days int32) Date { return Date(days) + unixEpochDate }

// AddDays returns the date n days later.
func (d Date) AddDays(n int) Date { return d + Date(n) }

// Weekday returns the day of the week.
func (d Date) Weekday() time.Weekday { return d.Time().Weekday() }

// Month returns the first day of the date's month.
func (d Date) Month() Date {
	y, m, _ := d.Time().Date()
	return NewDate(y, m, 1)
}

// String returns "2021-08-31", or "" for the zero value.
func (d Date) String() string {
	if d == 0 {
		return ""
	}
	return string(d.append(make([]byte, 0, 10)))
}

func (d Date) append(b []byte) []byte { return d.Time().AppendFormat(b, time.DateOnly) }

// MarshalText writes the form of String.
func (d Date) MarshalText() ([]byte, error) {
	if d == 0 {
		return nil, nil
	}
	return d.append(nil), nil
}

// UnmarshalText reads what MarshalText writes.
func (d *Date) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = 0
		return nil
	}
	v, err := ParseDate(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}
