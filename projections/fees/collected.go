package fees

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

var collectedQuery = query.Query[collectedInput, Collected]{
	Name:    "fees-collected",
	Path:    "/analytics/fees/collected",
	Summary: "Money received by day and method",
	Description: "What was received, reversed and refunded on each day by the school's clock, by " +
		"method and currency, whatever it was for: the days of a month add up to its revenue. A " +
		"reversal is on the day of its payment, a refund on its own.",
	Reads:      []*projections.Projection{Projection},
	TTL:        5 * time.Minute,
	Roles:      ofMoney,
	Impersonal: true,
	Indexes: []query.Index{
		{
			Name: "fee_entries_by_time", Statement: "fees.collected",
			Request: "/analytics/fees/collected?from=2026-11-01",
		},
	},
	Run: collected,
}

// collectedInput selects days.
type collectedInput struct {
	From read.Day `query:"from" doc:"The first day; without it, 30 days before the last one"`
	To   read.Day `query:"to" doc:"The last day, at most today, which it is without it. At most 366 days are covered: the last ones."`
}

// Collected is the money of a number of days.
type Collected struct {
	From  domain.Date `json:"from"`
	To    domain.Date `json:"to"`
	Sums  []Takings   `json:"sums" doc:"Of all days, by method"`
	ByDay []Takings   `json:"by_day" doc:"Days without money are left out"`
}

// Takings is the money received by one method of payment.
type Takings struct {
	Day      domain.Date `json:"day,omitzero"`
	Currency string      `json:"currency"`
	Method   string      `json:"method" enum:"cash,card,bank,mobile_money"`
	Payments int64       `json:"payments" doc:"How many there were"`
	Received int64       `json:"received" doc:"All payments, also those that were reversed since"`
	Reversed int64       `json:"reversed" doc:"Of what was received, what was reversed since"`
	Refunded int64       `json:"refunded"`
	Revenue  int64       `json:"revenue" doc:"received - reversed - refunded"`
}

const collectedSQL read.SQL = `-- fees.collected
SELECT grouping(day), day, currency, method, sum(payments)::bigint, sum(received)::bigint,
	sum(reversed)::bigint, sum(refunded)::bigint, sum(received - reversed - refunded)::bigint
FROM (
	SELECT (happened_at AT TIME ZONE $2)::date AS day, currency, method,
		CASE WHEN kind = 'payment' THEN 1 ELSE 0 END AS payments,
		CASE WHEN kind = 'payment' THEN amount ELSE 0 END AS received,
		CASE WHEN kind = 'payment' AND reversed THEN amount ELSE 0 END AS reversed,
		CASE WHEN kind = 'refund' THEN amount ELSE 0 END AS refunded
	FROM fee_entries WHERE school = $1 AND happened_at >= $3 AND happened_at < $4
		AND kind IN ('payment', 'refund')
) money
GROUP BY GROUPING SETS ((currency, method), (day, currency, method)) ORDER BY day, currency, method`

// longestSpan is how many days a result covers at most.
const longestSpan = 366

func collected(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *collectedInput,
) (*Collected, error) {
	a := &Collected{From: in.From.Date, To: in.To.Date}
	if a.To.IsZero() || a.To > scope.Today {
		a.To = scope.Today
	}
	if a.From.IsZero() {
		a.From = a.To.AddDays(-30)
	}
	a.From = max(a.From, a.To.AddDays(1-longestSpan))
	zone := scope.Settings.Location()
	midnight := func(d domain.Date) time.Time {
		year, month, day := d.Time().Date()
		return time.Date(year, month, day, 0, 0, 0, 0, zone)
	}
	type grouped struct {
		Takings
		allDays int
	}
	a.Sums, a.ByDay = []Takings{}, []Takings{}
	err := read.Each(ctx, tx, collectedSQL, func(g *grouped) []any {
		return []any{
			&g.allDays, &g.Day, &g.Currency, &g.Method, &g.Payments, &g.Received, &g.Reversed,
			&g.Refunded, &g.Revenue,
		}
	}, func(g grouped) {
		if g.allDays == 1 {
			a.Sums = append(a.Sums, g.Takings)
			return
		}
		a.ByDay = append(a.ByDay, g.Takings)
	}, scope.School, zone.String(), midnight(a.From), midnight(a.To.AddDays(1)))
	return a, err
}
