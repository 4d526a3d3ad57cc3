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

// Forecast is the expected revenue in one currency, in minor units.
type RevenueForecast struct {
	Currency string      `json:"currency"`
	Method   string      `json:"method" enum:"none,mean,damped trend,seasonal naive,holt-winters" doc:"none when the history is too short"`
	Note     string      `json:"note,omitzero" doc:"What to bear in mind"`
	From     domain.Date `json:"from" doc:"The first month of the history"`
	To       domain.Date `json:"to" doc:"The last month of the history"`
	History  int         `json:"history_months"`
	Tests    int         `json:"back_tests" doc:"How many forecasts were compared with the actual revenue"`
	MAE      *int64      `json:"mae" doc:"Mean absolute error of these, a month; null without a forecast"`
	MAPE     *float64    `json:"mape" doc:"Mean error relative to the actual revenue of months that had some; null when none had"`
	Months   []Expected  `json:"months"`
}

// Expected is one future month.
type Expected struct {
	Month    domain.Date `json:"month"`
	Expected int64       `json:"expected"`
	Low      int64       `json:"low" doc:"The revenue lies between low and high in four of five cases, if errors stay as they were"`
	High     int64       `json:"high"`
}

// width is how many standard deviations from its mean four fifths of a normal distribution lie
// within.
const width = 1.2816

// stale is for how many months there may be no revenue before the forecast continues from the last
// month that had some. It is as long as the longest holidays.
const stale = 3

func forecast(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *forecastInput,
) (*Forecasts, error) {
	months, err := monthly(ctx, tx, scope.School)
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
		a.Forecasts = append(a.Forecasts, newForecast(months[:n], scope.Today, horizon))
		months = months[n:]
	}
	return a, nil
}

// newForecast takes the months of one currency that had revenue.
func newForecast(months []Month, today domain.Date, horizon int) RevenueForecast {
	f := RevenueForecast{Currency: months[0].Currency, Method: "none"}
	current := today.Month()
	for len(months) > 1 && months[len(months)-1].Month == current {
		months = months[:len(months)-1] // it is not over
	}
	f.From, f.To = months[0].Month, months[len(months)-1].Month
	switch gap := monthsBetween(f.To, current) - 1; {
	case gap > stale:
		f.Note = "there has been no revenue for a while; the forecast continues from the last " +
			"month that had some"
	case gap > 0:
		f.To = addMonths(current, -1)
	}
	f.History = monthsBetween(f.From, f.To) + 1
	series := make([]float64, f.History)
	for _, m := range months {
		series[monthsBetween(f.From, m.Month)] = float64(m.Revenue)
	}
	p, ok := predict(series, horizon)
	if !ok {
		f.Note = "a forecast needs at least six whole months"
		return f
	}
	mae := int64(math.Round(p.MAE))
	f.Method, f.Tests, f.MAE = p.Method, p.Tests, &mae
	if !math.IsNaN(p.MAPE) {
		mape := read.Round(p.MAPE, 4)
		f.MAPE = &mape
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

func monthsBetween(from, to domain.Date) int {
	y1, m1, _ := from.Time().Date()
	y2, m2, _ := to.Time().Date()
	return (y2-y1)*12 + int(m2-m1)
}

func addMonths(month domain.Date, n int) domain.Date {
	y, m, _ := month.Time().Date()
	return domain.NewDate(y, m+time.Month(n), 1)
}
