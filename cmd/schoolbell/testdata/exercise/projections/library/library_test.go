package library_test

import (
	"testing"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections/library"
	"github.com/schoolbell/schoolbell/projections/projtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestScenarios(t *testing.T) {
	t.Parallel()
	projtest.Run(t, "testdata", library.Queries, library.Projection)
}

func TestP8_FoldsAlike(t *testing.T) {
	t.Parallel()
	projtest.FoldsAlike(t, library.Projection)
}
