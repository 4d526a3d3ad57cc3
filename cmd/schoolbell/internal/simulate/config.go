package simulate

import (
	"errors"
	"fmt"
	"iter"

	"github.com/schoolbell/schoolbell/domain"
)

// Limits of a simulation.
const (
	MaxSchools  = 100_000
	MaxStudents = 10_000 // of one school
	MaxDays     = 200    // school days, which are more than a year has
)

// Config says what to simulate. All numbers are required; see the limits above.
type Config struct {
	Schools  int
	Students int // of each school
	Days     int // school days, from the first of the year
	Seed     uint64
	Start    domain.Date // the year begins on the next Monday; zero is 1 September 2025
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	between := func(name string, v, limit int) {
		if v < 1 || v > limit {
			errs = append(errs, fmt.Errorf("%s must be between 1 and %d, not %d", name, limit, v))
		}
	}
	between("schools", c.Schools, MaxSchools)
	between("students", c.Students, MaxStudents)
	between("days", c.Days, MaxDays)
	return errors.Join(errs...)
}

// SchoolID is the id of a school by its index, from 0: "school-001".
func SchoolID(index int) string { return fmt.Sprintf("school-%03d", index+1) }

// Events yields the events of all schools, day by day: on each day those of the first school, then
// of the second, and so on. The events of one school are in the order of their time.
func (c Config) Events() iter.Seq[*domain.Envelope] {
	return func(yield func(*domain.Envelope) bool) {
		year := newCalendar(c.Start)
		schools := make([]*School, c.Schools)
		for i := range schools {
			schools[i] = c.school(year, i)
		}
		for more := true; more; {
			more = false
			for _, s := range schools {
				if s.done() {
					continue
				}
				more = true
				if !s.day(yield) {
					return
				}
			}
		}
	}
}

// School prepares the year of the school with an index, from 0.
func (c Config) School(index int) *School { return c.school(newCalendar(c.Start), index) }

func (c Config) school(year *calendar, index int) *School {
	source := fmt.Sprintf("simulate/%d/%d", c.Seed, c.Students)
	return newSchool(c, year, SchoolID(index), index, source)
}
