package exact_test

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain/exact"
)

func TestASumIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s, other exact.Sum
		want := new(big.Rat)
		for i := range rapid.IntRange(0, 40).Draw(t, "terms") {
			num, den := rapid.Int64Range(-9, 9).Draw(t, "num"), rapid.Int64Range(1, 12).Draw(t, "den")
			to := &s
			if i%2 == 1 {
				to = &other
			}
			to.Add(num, den)
			want.Add(want, big.NewRat(num, den))
		}
		s.Plus(&other)
		require.Zero(t, want.Cmp(s.Rat()))
		require.Equal(t, want.Sign() == 0, s.IsZero())
	})
	var third, tenth exact.Sum
	for range 3 {
		third.Add(1, 3)
	}
	for range 10 {
		tenth.Add(1, 10)
	}
	require.Zero(t, exact.Compare(1, &third, 1, &tenth))
	require.Positive(t, exact.Compare(10, &third, 9, &tenth))
}

func TestHalvesAreRoundedAwayFromZero(t *testing.T) {
	t.Parallel()
	for _, is := range []struct {
		num, den int64
		digits   int
		shown    float64
	}{
		{1, 3, 2, 0.33},
		{2, 3, 2, 0.67},
		{5, 1000, 2, 0.01},
		{-5, 1000, 2, -0.01},
		{66875, 1000, 2, 66.88},
		{73225, 1000, 2, 73.23},
		{1005, 1000, 2, 1.01},
		{7, 1, 2, 7},
	} {
		require.InDelta(t, is.shown, exact.Round(big.NewRat(is.num, is.den), is.digits), 0)
	}
}

func TestPartsOfADayAreWrittenByPeople(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]exact.Fraction{
		"1/2": {1, 2}, "0.5": {1, 2}, "2/6": {1, 3}, "1": {1, 1}, "0": {0, 1}, "0.25": {1, 4},
	} {
		var f exact.Fraction
		require.NoError(t, f.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, f, text)
		again, err := f.MarshalText()
		require.NoError(t, err)
		back, err := exact.ParseFraction(string(again))
		require.NoError(t, err)
		require.Zero(t, f.Rat().Cmp(back.Rat()))
	}
	for _, text := range []string{
		"", "x", "-1/2", "3/2", "1.01", "1/0", "1/2000", "1e-2", "0x1", "1_0/20", "½",
		"0.3333333333333333333333",
	} {
		_, err := exact.ParseFraction(text)
		require.Error(t, err, text)
	}
	require.Zero(t, exact.Fraction{}.Rat().Sign())
	require.Equal(t, exact.Fraction{Num: 1, Den: 1}, exact.Whole())
}
