package memstore_test

import (
	"testing"

	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/memstore"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T, *projections.Set) storetest.Store { return memstore.New() })
}
