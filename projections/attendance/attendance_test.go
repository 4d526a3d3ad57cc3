package attendance_test

import (
	"testing"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections/attendance"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/projtest"
	"github.com/schoolbell/schoolbell/projections/students"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestScenarios(t *testing.T) {
	t.Parallel()
	projtest.Run(t, "testdata", attendance.Queries, students.Projection, calendar.Projection,
		attendance.Projection)
}

func TestP8_FoldsAlike(t *testing.T) {
	t.Parallel()
	projtest.FoldsAlike(t, attendance.Projection)
}
