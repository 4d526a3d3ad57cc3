package fees

import (
	"math"
	"slices"
)

// A forecast continues a monthly series by one of a few methods, each of which is what a careful clerk
// might do. Which one is decided by a back-test with a rolling origin: each method forecasts from every
// point in the history from which there is enough before it, without what came after, and the one with
// the least error is used: the sum of its misses relative to the sum of the actual revenue (WAPE). That
// error, and how far off the forecasts were at each distance, are part of the result.

// aboutMethods describes the methods to those who read forecasts; see [method.about] for each.
const aboutMethods = "Methods: the mean of the last twelve months; a damped trend; seasonal naive, the " +
	"same month a year ago, from twelve months on; and receivables, what is open of the invoices " +
	"and how this school was paid before and after they were due. The one with the least error in a " +
	"back-test is used (WAPE: the misses relative to the revenue). Between low and high the " +
	"revenue lies in four of five cases, if errors stay as they were."

// Forecast is a series continued.
type Forecast struct {
	Method *method
	Values []float64
	// Spread is the root of the mean squared error of the back-test at each distance, never smaller
	// than at a shorter one.
	Spread []float64
	Error  Trial   // of the method in the back-test
	Trials []Trial // of all methods that were tested
}

// Trial is how a method did in the back-test.
type Trial struct {
	Method string
	MAE    float64 // over all distances
	WAPE   float64 // NaN when there was no revenue
	Tests  int     // how many forecasts were compared with the actual revenue
	spread []float64
}

// minHistory is the minimum number of months for a forecast.
const minHistory = 6

const (
	season      = 12
	testHorizon = 6 // the back-test's longest distance, in months
	testOrigins = 24
	// testedSeason is how many months it takes to compare a few forecasts of the same month a year ago
	// with what came.
	testedSeason = season + 3
	// The mean that is further off than this, relative to the revenue, is of a school with terms, whose
	// months differ from each other more than those of two years.
	uneven = 0.5
)

type method struct {
	name    string
	about   string
	history int // how many months it needs
	predict func(series []float64, horizon int) []float64
}

var (
	mean = method{"mean", "The mean of the last twelve months.", 3, meanOf}
	damp = method{
		"damped trend", "The level and trend of the latest months; the trend fades by a tenth each month.",
		5, dampedTrend,
	}
	seasonal = method{"seasonal naive", "The same month a year ago.", season, seasonalNaive}
)

// predict continues a series by one of the methods, to which others may be added; ok is false when the
// history is too short to say anything.
func predict(series []float64, horizon int, others ...method) (f Forecast, ok bool) {
	n := len(series)
	if n < minHistory {
		return f, false
	}
	candidates := append([]method{mean, damp}, others...)
	if n >= testedSeason {
		candidates = append(candidates, seasonal)
	}
	for _, m := range candidates {
		t := backTest(m, series)
		if t.Tests == 0 {
			continue
		}
		f.Trials = append(f.Trials, t)
		if f.Method == nil || t.MAE < f.Error.MAE {
			f.Method, f.Error = &m, t
		}
	}
	f.Spread = stretch(f.Error.spread, horizon)
	if n >= season && n < testedSeason && f.Error.WAPE > uneven {
		f.Method, f.Error = &seasonal, Trial{Method: seasonal.name, MAE: math.NaN(), WAPE: math.NaN()}
	}
	f.Values = f.Method.predict(series, horizon)
	for i, v := range f.Values {
		f.Values[i] = max(v, 0)
	}
	return f, true
}

// backTest forecasts from points in the history. All methods are tested from the same points, of which
// each has a half of the history, or a year, before it, so that the one with the least mean absolute
// error has the least WAPE as well.
func backTest(m method, series []float64) Trial {
	first := max(len(series)-testOrigins, min(len(series)/2, season), 3)
	if len(series) >= testedSeason {
		first = max(first, season)
	}
	t := Trial{Method: m.name}
	if first < m.history {
		return t
	}
	var missed, revenue float64
	squares, counts := make([]float64, testHorizon), make([]float64, testHorizon)
	for origin := first; origin < len(series); origin++ {
		ahead := min(testHorizon, len(series)-origin)
		for i, v := range m.predict(series[:origin:origin], ahead) {
			actual := series[origin+i]
			miss := math.Abs(max(v, 0) - actual)
			missed += miss
			revenue += actual
			squares[i] += miss * miss
			counts[i]++
			t.Tests++
		}
	}
	t.MAE, t.WAPE = missed/float64(t.Tests), math.NaN()
	if revenue > 0 {
		t.WAPE = missed / revenue
	}
	for i := range squares {
		if counts[i] > 0 {
			t.spread = append(t.spread, math.Sqrt(squares[i]/counts[i]))
		}
	}
	return t
}

// stretch makes a spread one that does not shrink, and continues it with the root of the distance.
func stretch(spread []float64, horizon int) []float64 {
	all := make([]float64, horizon)
	widest := 0.0
	for i := range all {
		if i < len(spread) {
			widest = max(widest, spread[i])
			all[i] = widest
			continue
		}
		all[i] = widest * math.Sqrt(float64(i+1)/float64(len(spread)))
	}
	return all
}

func meanOf(series []float64, horizon int) []float64 {
	last := series[max(0, len(series)-season):]
	sum := 0.0
	for _, v := range last {
		sum += v
	}
	return slices.Repeat([]float64{sum / float64(len(last))}, horizon)
}

func seasonalNaive(series []float64, horizon int) []float64 {
	values := make([]float64, horizon)
	for i := range values {
		values[i] = series[len(series)-season+i%season]
	}
	return values
}

// fade is what remains of a trend after a month.
const fade = 0.9

// The weights of the newest month that are tried; the ones that would have been best one month
// ahead are used.
var (
	levelWeights = []float64{0.1, 0.3, 0.5, 0.8}
	trendWeights = []float64{0.05, 0.2, 0.5}
)

func dampedTrend(series []float64, horizon int) []float64 {
	var best []float64
	smallest := math.Inf(1)
	for _, alpha := range levelWeights {
		for _, beta := range trendWeights {
			level, trend, squares := series[0], series[1]-series[0], 0.0
			for _, v := range series[1:] {
				expected := level + fade*trend
				squares += (v - expected) * (v - expected)
				before := level
				level = alpha*v + (1-alpha)*expected
				trend = beta*(level-before) + (1-beta)*fade*trend
			}
			if squares < smallest {
				smallest, best = squares, continued(level, trend, horizon)
			}
		}
	}
	return best
}

// continued is a level with a fading trend.
func continued(level, trend float64, horizon int) []float64 {
	values := make([]float64, horizon)
	for i := range values {
		trend *= fade
		level += trend
		values[i] = level
	}
	return values
}
