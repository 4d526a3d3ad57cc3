package fees

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

// forecastInput is how far to look ahead.
type forecastInput struct {
	Months int `query:"months" minimum:"1" maximum:"24" default:"6" doc:"How many months to look ahead"`
}

// Forecasts is a forecast for each currency with revenue.
type Forecasts struct {
	Forecasts []RevenueForecast `json:"forecasts"`
}

// RevenueForecast is the expected revenue in one currency, in minor units.
type RevenueForecast struct {
	Currency string         `json:"currency"`
	Method   string         `json:"method" enum:"none,mean,damped trend,seasonal naive,receivables" doc:"none when the history is too short"`
	About    string         `json:"about,omitzero" doc:"What the method does"`
	Note     string         `json:"note,omitzero" doc:"What to bear in mind"`
	From     domain.Date    `json:"from,omitzero" doc:"The first month of the history, in which there was the first revenue"`
	To       domain.Date    `json:"to,omitzero" doc:"The last month of the history: the last whole one by the school's clock"`
	History  int            `json:"history_months" doc:"How many months it has"`
	Tests    int            `json:"back_tests" doc:"How many forecasts by the method were compared with the actual revenue"`
	MAE      *int64         `json:"mae" doc:"Mean absolute error of these, a month; null without back-tests"`
	WAPE     *float64       `json:"wape" doc:"The misses of these relative to the actual revenue: 0.1 is a tenth of the revenue; null without back-tests or revenue"`
	Methods  []MethodTested `json:"methods" doc:"All methods that were compared, with their errors"`
	Months   []Expected     `json:"months"`
}

// MethodTested is how a method did in the back-test.
type MethodTested struct {
	Method string   `json:"method"`
	MAE    int64    `json:"mae" doc:"Mean absolute error of its forecasts, a month"`
	WAPE   *float64 `json:"wape" doc:"The misses of its forecasts relative to the actual revenue"`
}

// Expected is one future month.
type Expected struct {
	Month    domain.Date `json:"month"`
	Expected int64       `json:"expected" doc:"The revenue that the method expects"`
	Low      int64       `json:"low" doc:"The revenue lies between low and high in four of five cases, if errors stay as they were"`
	High     int64       `json:"high" doc:"See low"`
}

// width is how many standard deviations from its mean four fifths of a normal distribution lie
// within.
const width = 1.2816

// quiet is for how many months there may be no revenue before the result points it out. It is as long
// as the longest holidays.
const quiet = 3

func forecast(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *forecastInput,
) (*Forecasts, error) {
	months, err := monthly(ctx, tx, scope)
	if err != nil {
		return nil, err
	}
	from := map[string]domain.Date{}
	for _, m := range months {
		if _, ok := from[m.Currency]; !ok {
			from[m.Currency] = m.Month
		}
	}
	cohorts, err := readCohorts(ctx, tx, scope, from)
	if err != nil {
		return nil, err
	}
	horizon := read.Page(in.Months, 6, 24)
	a := &Forecasts{}
	for len(months) > 0 {
		n := 1
		for n < len(months) && months[n].Currency == months[0].Currency {
			n++
		}
		f := newForecast(months[:n], cohorts[months[0].Currency], scope.Today, horizon)
		a.Forecasts, months = append(a.Forecasts, f), months[n:]
	}
	return a, nil
}

// newForecast takes the months of one currency that had revenue, and its cohorts. The month that is not
// over, and what is dated later, are no history.
func newForecast(
	months []Month, cohorts []*cohort, today domain.Date, horizon int,
) RevenueForecast {
	f := RevenueForecast{Currency: months[0].Currency, Method: "none"}
	series := wholeMonths(months, today)
	if f.History = len(series); f.History > 0 {
		f.From = months[0].Month
		f.To = addMonths(f.From, f.History-1)
	}
	var others []method
	if len(cohorts) > 0 {
		others = append(others, receivables(cohorts, len(series)))
	}
	p, ok := predict(series, horizon, others...)
	if !ok {
		f.Note = "a forecast needs at least six whole months"
		return f
	}
	f.Note = noteOf(series, p)
	f.Method, f.About, f.Tests = p.Method.name, p.Method.about, p.Error.Tests
	if f.Tests > 0 {
		mae := int64(math.Round(p.Error.MAE))
		f.MAE, f.WAPE = &mae, ratio(p.Error.WAPE)
	}
	for _, t := range p.Trials {
		f.Methods = append(f.Methods,
			MethodTested{t.Method, int64(math.Round(t.MAE)), ratio(t.WAPE)})
	}
	for i, v := range p.Values {
		f.Months = append(f.Months, Expected{
			Month:    addMonths(f.To, i+1),
			Expected: int64(math.Round(v)),
			Low:      int64(math.Round(max(v-width*p.Spread[i], 0))),
			High:     int64(math.Round(v + width*p.Spread[i])),
		})
	}
	return f
}

// wholeMonths is the revenue of each month from the first one with revenue to the last that is over.
func wholeMonths(months []Month, today domain.Date) []float64 {
	series := make([]float64, max(monthsBetween(months[0].Month, today.Month()), 0))
	for _, m := range months {
		if i := monthsBetween(months[0].Month, m.Month); i < len(series) {
			series[i] = float64(m.Revenue)
		}
	}
	return series
}

func noteOf(series []float64, p Forecast) string {
	silent := 0
	for silent < len(series) && series[len(series)-1-silent] == 0 {
		silent++
	}
	switch {
	case silent > quiet:
		return "there has been no revenue for a while"
	case p.Error.Tests == 0:
		return "the history is too short to test the method: it was taken because the months of this " +
			"school differ much, and the band is that of the best of the others"
	}
	return ""
}

// ratio is rounded as shown, and null where there is none.
func ratio(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	v = read.Round(v, 4)
	return &v
}

func monthsBetween(from, to domain.Date) int {
	y1, m1, _ := from.Time().Date()
	y2, m2, _ := to.Time().Date()
	return (y2-y1)*12 + int(m2-m1)
}

func addMonths(month domain.Date, n int) domain.Date {
	y, m, _ := month.Time().Date()
	return domain.NewDate(y, m+time.Month(n), 1)
}
