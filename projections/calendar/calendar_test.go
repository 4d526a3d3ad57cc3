package calendar_test

import (
	"testing"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/projtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestScenarios(t *testing.T) {
	t.Parallel()
	projtest.Run(t, "testdata", calendar.Queries, calendar.Projection)
}

func TestP8_FoldsAlike(t *testing.T) {
	t.Parallel()
	projtest.FoldsAlike(t, calendar.Projection)
}
