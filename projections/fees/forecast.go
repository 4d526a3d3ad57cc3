package fees

import (
	"math"
	"slices"
)

// A forecast continues a monthly series by one of four methods, each of which is what a careful
// clerk might do:
//
//	mean             the mean of the last twelve months (from 6 months on)
//	damped trend     Holt's level and trend; the trend fades by a tenth each month (from 10 months on)
//	seasonal naive   the same month a year ago (from 24 months on)
//	holt-winters     level, trend and an additive season of twelve months (from 48 months on)
//
// Which one is decided by a back-test with a rolling origin: each method forecasts from every point
// in the history from which there is enough before it, without what came after, and the one with
// the smallest mean absolute error is used. That error, and how far off the forecasts were at each
// distance, are part of the result.

// Forecast is a series continued.
type Forecast struct {
	Method string
	Values []float64
	// Spread is the root of the mean squared error of the back-test at each distance, never smaller
	// than at a shorter one.
	Spread []float64
	MAE    float64 // of the back-test, over all distances
	// the same relative to the actual revenue of months that had some; NaN when none had
	MAPE  float64
	Tests int // how many forecasts were compared with the actual revenue
}

// minHistory is the minimum number of months for a forecast.
const minHistory = 6

const (
	season      = 12
	testHorizon = 6 // the back-test's longest distance, in months
	testOrigins = 24
)

type method struct {
	name    string
	history int // how many months it needs
	predict func(series []float64, horizon int) []float64
}

var candidates = []method{
	{"mean", 3, meanOf},
	{"damped trend", 5, dampedTrend},
	{"seasonal naive", season, seasonalNaive},
	{"holt-winters", 2 * season, holtWinters},
}

// predict continues a series; ok is false when the history is too short to say anything.
func predict(series []float64, horizon int) (best Forecast, ok bool) {
	if len(series) < minHistory {
		return Forecast{}, false
	}
	for _, m := range candidates {
		f := backTest(m, series)
		if f.Tests == 0 || (ok && f.MAE >= best.MAE) {
			continue
		}
		f.Method, f.Values = m.name, m.predict(series, horizon)
		best, ok = f, true
	}
	if !ok {
		return Forecast{}, false
	}
	for i, v := range best.Values {
		best.Values[i] = max(v, 0)
	}
	best.Spread = stretch(best.Spread, horizon)
	return best, true
}

// backTest forecasts from points in the history. All methods are tested from the same points, of
// which each has a half of the history, or a year, before it; a method that needs more is out.
func backTest(m method, series []float64) Forecast {
	first := max(len(series)-testOrigins, min(len(series)/2, 2*season), 3)
	if first < m.history {
		return Forecast{}
	}
	var absolute, relative float64
	var relatives int
	squares, counts := make([]float64, testHorizon), make([]float64, testHorizon)
	f := Forecast{}
	for origin := first; origin < len(series); origin++ {
		ahead := min(testHorizon, len(series)-origin)
		for i, v := range m.predict(series[:origin], ahead) {
			actual := series[origin+i]
			miss := math.Abs(max(v, 0) - actual)
			absolute += miss
			squares[i] += miss * miss
			counts[i]++
			f.Tests++
			if actual > 0 {
				relative += miss / actual
				relatives++
			}
		}
	}
	f.MAE, f.MAPE = absolute/float64(f.Tests), relative/float64(relatives)
	for i := range squares {
		if counts[i] > 0 {
			f.Spread = append(f.Spread, math.Sqrt(squares[i]/counts[i]))
		}
	}
	return f
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
	levelWeights  = []float64{0.1, 0.3, 0.5, 0.8}
	trendWeights  = []float64{0.05, 0.2, 0.5}
	seasonWeights = []float64{0.1, 0.3, 0.6}
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

func holtWinters(series []float64, horizon int) []float64 {
	var best []float64
	smallest := math.Inf(1)
	for _, alpha := range levelWeights {
		for _, beta := range trendWeights {
			for _, gamma := range seasonWeights {
				if squares, values := holtWintersWith(series, horizon, alpha, beta,
					gamma); squares < smallest {
					smallest, best = squares, values
				}
			}
		}
	}
	return best
}

// holtWintersWith begins with the first year's mean and how its months differ from it, and with the
// growth to the second year.
func holtWintersWith(
	series []float64, horizon int, alpha, beta, gamma float64,
) (squares float64, values []float64) {
	level := meanOf(series[:season], 1)[0]
	trend := (meanOf(series[season:2*season], 1)[0] - level) / season
	months := make([]float64, season)
	for i := range months {
		months[i] = series[i] - level
	}
	for i, v := range series[season:] {
		month := &months[i%season]
		expected := level + fade*trend
		squares += (v - expected - *month) * (v - expected - *month)
		before := level
		level = alpha*(v-*month) + (1-alpha)*expected
		trend = beta*(level-before) + (1-beta)*fade*trend
		*month = gamma*(v-level) + (1-gamma)**month
	}
	values = continued(level, trend, horizon)
	for i := range values {
		values[i] += months[(len(series)+i)%season]
	}
	return squares, values
}
