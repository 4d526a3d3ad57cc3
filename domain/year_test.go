package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
)

func TestSchoolYearsAreComparedAsYears(t *testing.T) {
	t.Parallel()
	for _, label := range []domain.Label{"2026", "2026-2027", "2026/27", "26/27", "SY 2026–27", "2026 - 2027"} {
		require.Equal(t, domain.YearOf("2026"), domain.YearOf(label), label)
	}
	require.Equal(t, domain.YearOf("1999/00"), domain.YearOf("1999"))
	require.Equal(t, domain.YearOf("2099"), domain.YearOf("99/00"))
	ascending := []domain.Label{"first", "second", "9", "10", "26", "2025-2026", "2026"}
	for i, label := range ascending[1:] {
		require.Negative(t, domain.YearOf(ascending[i]).Compare(domain.YearOf(label)), label)
	}
}
