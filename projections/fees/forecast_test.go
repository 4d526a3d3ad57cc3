package fees

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// series makes a series from a function of the month.
func series(n int, f func(i int) float64) []float64 {
	s := make([]float64, n)
	for i := range s {
		s[i] = f(i)
	}
	return s
}

func TestForecastSaysNothingWithoutHistory(t *testing.T) {
	t.Parallel()
	_, ok := predict(series(minHistory-1, func(int) float64 { return 100 }), 3)
	require.False(t, ok)
}

func TestForecastOfAConstantIsExact(t *testing.T) {
	t.Parallel()
	f, ok := predict(series(minHistory, func(int) float64 { return 100 }), 3)
	require.True(t, ok)
	require.Equal(t, []float64{100, 100, 100}, f.Values)
	require.Equal(t, []float64{0, 0, 0}, f.Spread)
	require.Zero(t, f.MAE)
}

func TestForecastOfARepeatedYearIsThatYear(t *testing.T) {
	t.Parallel()
	terms := func(i int) float64 {
		return []float64{
			900, 50, 10, 0, 700, 40, 0, 0, 800, 60, 20,
			0,
		}[i%12]
	}
	for _, months := range []int{36, 41} {
		f, ok := predict(series(months, terms), 14)
		require.True(t, ok)
		require.Equal(t, "seasonal naive", f.Method)
		for i, v := range f.Values {
			require.InDelta(t, terms(months+i), v, 1e-9)
		}
	}
}

func TestForecastFollowsAGrowingSeason(t *testing.T) {
	t.Parallel()
	growing := func(i int) float64 {
		return 1000 + 20*float64(i) +
			300*math.Sin(float64(i)*math.Pi/6)
	}
	f, ok := predict(series(60, growing), 6)
	require.True(t, ok)
	require.Equal(t, "holt-winters", f.Method, "the same month a year ago is 240 too low")
	for i, v := range f.Values {
		require.InDelta(t, growing(60+i), v, 220)
	}
}

func TestForecastOfAShortTrendFollowsIt(t *testing.T) {
	t.Parallel()
	f, ok := predict(series(11, func(i int) float64 { return 100 + 50*float64(i) }), 2)
	require.True(t, ok)
	require.Equal(t, "damped trend", f.Method)
	require.Greater(t, f.Values[1], f.Values[0])
	require.Greater(t, f.Values[0], 600.0)
}

func TestForecastIsNeverNegativeAndItsSpreadNeverShrinks(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f, ok := predict(series(6+random.IntN(70),
			func(int) float64 { return math.Floor(max(0, random.NormFloat64()*500)) }), 24)
		require.True(t, ok)
		for i, v := range f.Values {
			require.GreaterOrEqual(t, v, 0.0)
			require.False(t, math.IsNaN(v) || math.IsNaN(f.Spread[i]))
			if i > 0 {
				require.GreaterOrEqual(t, f.Spread[i], f.Spread[i-1])
			}
		}
		require.GreaterOrEqual(t, f.MAE, 0.0)
	}
}

// The back-test must be as honest as a forecast: what it reports is about the error that is really
// made.
func TestBackTestErrorIsAboutTheErrorMade(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var reported, made float64
	for range 100 {
		s := series(54, func(i int) float64 {
			return 1000 + 400*math.Sin(float64(i)*math.Pi/6) +
				80*random.NormFloat64()
		})
		f, ok := predict(s[:48], 6)
		require.True(t, ok)
		reported += f.MAE
		for i, v := range f.Values {
			made += math.Abs(v-s[48+i]) / 6
		}
	}
	require.InEpsilon(t, made, reported, 0.25)
}
