package fees

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

// The invoices that are due in a month are a cohort. How much of what is open of a cohort is paid in the
// next month depends on how long before or after the due month that is, and on the school: both
// follow from the cohorts of the past. What is open now, paid like that, is the forecast by
// receivables. Invoices that will be written later are not in it.

const cohortsSQL read.SQL = `-- fees.cohorts
SELECT currency, due_month, date_trunc('month', happened_at AT TIME ZONE $2)::date AS month,
	sum(invoiced)::bigint, sum(paid)::bigint
FROM fee_cohorts WHERE school = $1 GROUP BY currency, due_month, month
ORDER BY currency, due_month, month`

// cohort is what was charged and paid in each month, counted from the beginning of a series, of the
// invoices that are due in one. Months before the beginning are the first.
type cohort struct {
	due            int
	invoiced, paid map[int]float64
}

// readCohorts returns the cohorts of a school by currency, in months from a beginning that it looks up.
func readCohorts(
	ctx context.Context, tx pgx.Tx, scope query.Scope, from map[string]domain.Date,
) (map[string][]*cohort, error) {
	type row struct {
		currency       string
		due, month     domain.Date
		invoiced, paid int64
	}
	by := map[string][]*cohort{}
	var due domain.Date
	err := read.Each(ctx, tx, cohortsSQL, func(r *row) []any {
		return []any{&r.currency, &r.due, &r.month, &r.invoiced, &r.paid}
	}, func(r row) {
		beginning, ok := from[r.currency]
		if !ok {
			return // nothing was received in it yet
		}
		all := by[r.currency]
		if len(all) == 0 || r.due != due {
			all = append(all, &cohort{monthsBetween(beginning, r.due), map[int]float64{}, map[int]float64{}})
			by[r.currency], due = all, r.due
		}
		c, month := all[len(all)-1], max(monthsBetween(beginning, r.month), 0)
		c.invoiced[month] += float64(r.invoiced)
		c.paid[month] += float64(r.paid)
	}, scope.School, scope.Settings.Location().String())
	return by, err
}

// Lags are counted in months from the one in which invoices are due.
const (
	firstLag = -6
	lastLag  = 18
)

// receivables is the method for the cohorts of a series of a length. What has been charged since its end
// is open when a forecast is made.
func receivables(cohorts []*cohort, length int) method {
	return method{
		"receivables",
		"What is open of the invoices, paid as this school's invoices were before and after they were due.",
		3, func(series []float64, horizon int) []float64 {
			origin := len(series)
			shares, values := sharesPaid(cohorts, origin), make([]float64, horizon)
			for _, c := range cohorts {
				open := c.openBefore(origin)
				if origin == length {
					open += c.invoiced[origin]
				}
				for i := range values {
					paid := max(open, 0) * shares[lag(origin+i-c.due)]
					values[i] += paid
					open -= paid
				}
			}
			return values
		},
	}
}

// lag is the place of a lag in a list.
func lag(months int) int { return min(max(months, firstLag), lastLag) - firstLag }

// openBefore is what is open of a cohort at the beginning of a month.
func (c *cohort) openBefore(month int) (open float64) {
	for m, amount := range c.invoiced {
		if m < month {
			open += amount
		}
	}
	for m, amount := range c.paid {
		if m < month {
			open -= amount
		}
	}
	return open
}

// sharesPaid returns, for each lag, how much of what was open in such a month was paid in it, in the
// months before an origin. Where there was none yet it is as in the month before.
func sharesPaid(cohorts []*cohort, origin int) []float64 {
	const lags = lastLag - firstLag + 1
	paid, open := make([]float64, lags), make([]float64, lags)
	for _, c := range cohorts {
		left := 0.0
		for month := range origin {
			left += c.invoiced[month]
			if left > 0 {
				at := lag(month - c.due)
				open[at] += left
				paid[at] += min(c.paid[month], left)
			}
			left = math.Max(left-c.paid[month], 0)
		}
	}
	shares := make([]float64, lags)
	for i := range shares {
		switch {
		case open[i] > 0:
			shares[i] = paid[i] / open[i]
		case i > 0:
			shares[i] = shares[i-1]
		}
	}
	return shares
}
