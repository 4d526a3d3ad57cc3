package profile_test

import (
	"testing"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/projtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestScenarios(t *testing.T) {
	t.Parallel()
	projtest.Run(t, "testdata", catalog.Queries(), catalog.All()...)
}
