package edfi_test

import (
	"testing"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }
