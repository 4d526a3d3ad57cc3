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
	require.Zero(t, f.Error.MAE)
}

func TestForecastOfARepeatedYearIsThatYear(t *testing.T) {
	t.Parallel()
	terms := func(i int) float64 {
		return []float64{
			900, 50, 10, 0, 700, 40, 0, 0, 800, 60, 20,
			0,
		}[i%12]
	}
	for _, months := range []int{12, 13, 15, 18, 23, 36, 41} {
		f, ok := predict(series(months, terms), 14)
		require.True(t, ok)
		require.Equal(t, "seasonal naive", f.Method.name)
		for i, v := range f.Values {
			require.InDelta(t, terms(months+i), v, 1e-9)
		}
	}
}

func TestForecastOfAShortTrendFollowsIt(t *testing.T) {
	t.Parallel()
	f, ok := predict(series(11, func(i int) float64 { return 100 + 50*float64(i) }), 2)
	require.True(t, ok)
	require.Equal(t, "damped trend", f.Method.name)
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
		require.False(t, f.Error.MAE < 0)
	}
}

// A school that is paid evenly is not taken for one with terms, when a year is all there is.
func TestForecastOfAnEvenYearIsItsMean(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for months := season; months < testedSeason; months++ {
		f, ok := predict(series(months, func(int) float64 { return 1000 + 100*random.NormFloat64() }), 3)
		require.True(t, ok)
		require.NotEqual(t, "seasonal naive", f.Method.name)
		require.Less(t, f.Error.WAPE, 0.3)
	}
}

// A school in its first year with instalments that were all charged at its beginning: what comes
// follows from the invoices alone.
func TestForecastByReceivablesFollowsTheInvoices(t *testing.T) {
	t.Parallel()
	var cohorts []*cohort
	revenue := make([]float64, 14)
	for due := range 12 { // instalments grow; of each 80 % is paid in the month, and 20 % in the next
		amount := float64(1000 * (1 + due*due))
		cohorts = append(cohorts, &cohort{
			due, map[int]float64{0: amount}, map[int]float64{due: 0.8 * amount, due + 1: 0.2 * amount},
		})
		revenue[due] += 0.8 * amount
		revenue[due+1] += 0.2 * amount
	}
	f, ok := predict(revenue[:8:8], 4, receivables(cohorts, 8))
	require.True(t, ok)
	require.Equal(t, "receivables", f.Method.name)
	for i, v := range f.Values {
		require.InEpsilon(t, revenue[8+i], v, 0.02)
	}
	require.Len(t, f.Trials, 2, "the mean was tried")
	for _, other := range f.Trials {
		require.GreaterOrEqual(t, other.WAPE, f.Error.WAPE)
	}
}

// A school that is paid in September, January and April, as its neighbours, with 8 % of noise: from a
// year on the forecast knows the terms, and four of five months lie within its band.
func TestForecastOfASchoolWithTermsKnowsThem(t *testing.T) {
	t.Parallel()
	terms := []float64{900, 300, 60, 20, 700, 250, 40, 600, 200, 60, 20, 10}
	random := rand.New(rand.NewPCG(7, 8))
	for _, months := range []int{12, 14, 18, 23, 30} {
		var missed, revenue float64
		within, n := 0, 0
		for range 60 {
			s := series(months+6, func(i int) float64 {
				return terms[i%12] * math.Exp(0.08*random.NormFloat64())
			})
			f, ok := predict(s[:months], 6)
			require.True(t, ok)
			for i, v := range f.Values {
				actual := s[months+i]
				missed += math.Abs(v - actual)
				revenue += actual
				n++
				if actual >= v-width*f.Spread[i] && actual <= v+width*f.Spread[i] {
					within++
				}
			}
		}
		require.Less(t, missed/revenue, 0.2, "%d months", months)
		require.Greater(t, float64(within)/float64(n), 0.7, "%d months", months)
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
		reported += f.Error.MAE
		for i, v := range f.Values {
			made += math.Abs(v-s[48+i]) / 6
		}
	}
	require.InEpsilon(t, made, reported, 0.25)
}
