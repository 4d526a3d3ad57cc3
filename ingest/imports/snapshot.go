package imports

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/attendance"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/performance"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Tables is what a plan compares with, in one snapshot of a school. The lists have an entry for
// each row that is looked up, nil for what the tables do not hold.
type Tables interface {
	Roster(on domain.Date) (*students.Roster, error)
	Years(of []*Year) ([]*Year, error)
	Days(of []*Day) ([]*Day, error)
	Marks(of []*Mark) ([]*Mark, error)
	Assessments(of []*Assessment) ([]*Assessment, error)
	Scores(of []*Score) ([]*Score, error)
	// Parked are the subjects whose latest events are not in the tables; "" is all of the school.
	Parked() (map[string]bool, error)
}

// snapshot is a transaction that reads one school.
type snapshot struct {
	ctx    context.Context // of the transaction
	tx     pgx.Tx
	school string
}

func (s *snapshot) Roster(on domain.Date) (*students.Roster, error) {
	return students.RosterOf(s.ctx, s.tx, s.school, on)
}

func (s *snapshot) Years(of []*Year) ([]*Year, error) {
	return calendar.HeldYears(s.ctx, s.tx, s.school, of)
}

func (s *snapshot) Days(of []*Day) ([]*Day, error) {
	return calendar.HeldDays(s.ctx, s.tx, s.school, of)
}

const parkedSQL read.SQL = `-- imports.parked
SELECT parked_of($1)`

func (s *snapshot) Parked() (map[string]bool, error) {
	parked := make(map[string]bool)
	err := read.Each(s.ctx, s.tx, parkedSQL,
		func(subject *string) []any { return []any{subject} },
		func(subject string) { parked[subject] = true }, s.school)
	return parked, err
}

func (s *snapshot) Marks(of []*Mark) ([]*Mark, error) {
	return attendance.Held(s.ctx, s.tx, s.school, of)
}

func (s *snapshot) Assessments(of []*Assessment) ([]*Assessment, error) {
	return performance.HeldAssessments(s.ctx, s.tx, s.school, of)
}

func (s *snapshot) Scores(of []*Score) ([]*Score, error) {
	return performance.HeldScores(s.ctx, s.tx, s.school, of)
}
