package fees

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// ofMoney are who sees sums of money.
var ofMoney = []query.Role{query.Admin, query.Office, query.Accountant, query.Analyst}

// Queries are those of the accounts.
var Queries = []query.Endpoint{
	query.Query[input, Finances]{
		Name:    "fees",
		Path:    "/analytics/fees",
		Summary: "Invoiced, received and open amounts",
		Description: "Sums of money in minor units, never mixing currencies: in all, by term, by " +
			"category and by method, the age of what is open, also by class, what is open when " +
			"credit is applied to accounts and families, and revenue by month. What is dated after " +
			"today by the school's clock counts from its day on.",
		Reads:      []*projections.Projection{Projection, students.Projection},
		TTL:        5 * time.Minute,
		Roles:      ofMoney,
		Impersonal: true,
		Indexes: []query.Index{
			{Name: "fee_invoices_unsettled", Statement: "fees.ageing", Request: "/analytics/fees"},
			{
				Name: "fee_invoices_unsettled", Statement: "fees.ageing",
				Request: "/analytics/fees?year=2026-2027&term=autumn",
			},
			{Name: "fee_invoices_unsettled", Statement: "fees.balances", Request: "/analytics/fees"},
			{Name: "fee_invoices_latest", Statement: "fees.ahead", Request: "/analytics/fees"},
			{
				Name: "fee_invoices_unmatched", Statement: "fees.unmatched",
				Request: "/analytics/fees",
			},
			{
				Name: "fee_invoices_unmatched", Statement: "fees.conflicts",
				Request: "/analytics/fees",
			},
			{
				Name: "fee_entries_conflicted", Statement: "fees.conflicted_entries",
				Request: "/analytics/fees",
			},
			{Name: "fee_entries_by_time", Statement: "fees.planned", Request: "/analytics/fees"},
			{
				Name: "fee_totals_pkey", Statement: "fees.totals",
				Request: "/analytics/fees?year=2026-2027",
			},
			{
				Name: "fee_methods_pkey", Statement: "fees.methods",
				Request: "/analytics/fees?year=2026-2027",
			},
		},
		Run: analyse,
	},
	collectedQuery,
	accountsQuery,
	accountQuery,
	query.Query[forecastInput, Forecasts]{
		Name:    "revenue-forecast",
		Path:    "/analytics/revenue-forecast",
		Summary: "Revenue forecast",
		Description: "Monthly revenue continued by the method, of four simple ones, that would " +
			"have been closest in the past, with the error that it would have made. The history " +
			"ends with the last whole month by the school's clock. There is no forecast from less " +
			"than six months. " + aboutMethods,
		Reads:      []*projections.Projection{Projection},
		TTL:        time.Hour,
		Roles:      ofMoney,
		Impersonal: true,
		Indexes: []query.Index{
			{
				Name: "fee_revenue_pkey", Statement: "fees.monthly",
				Request: "/analytics/revenue-forecast",
			},
			{
				Name: "fee_cohorts_pkey", Statement: "fees.cohorts",
				Request: "/analytics/revenue-forecast",
			},
		},
		Run: forecast,
	},
}

// input selects what the result covers.
type input struct {
	Year domain.Label `query:"year" maxLength:"32" doc:"Only invoices of this year, as the school calls it"`
	Term domain.Label `query:"term" maxLength:"32" doc:"Only invoices of this term"`
}

// The grouping sets are the sums in all, by term and by category.
const totalsSQL read.SQL = `-- fees.totals
WITH sums AS (
	SELECT year, term, currency, category, due_on, invoices, invoiced, credited, waived, waived_excess,
		collected, reversed, refunded, outstanding, overpaid
	FROM fee_totals WHERE school = $1 /*where*/
	UNION ALL
	SELECT * FROM jsonb_to_recordset($3::jsonb) AS a (
		year text COLLATE "C", term text COLLATE "C", currency text COLLATE "C",
		category text COLLATE "C", due_on date, invoices bigint, invoiced bigint, credited bigint,
		waived bigint, waived_excess bigint, collected bigint, reversed bigint, refunded bigint,
		outstanding bigint, overpaid bigint)
	WHERE true /*where*/
)
SELECT grouping(year), grouping(category), coalesce(year, ''), coalesce(term, ''),
	coalesce(category, ''), currency, sum(invoices)::bigint, sum(invoiced)::bigint,
	sum(credited)::bigint, sum(waived)::bigint, sum(waived_excess)::bigint, sum(collected)::bigint,
	sum(reversed)::bigint, sum(refunded)::bigint, sum(outstanding)::bigint, sum(overpaid)::bigint,
	coalesce(sum(invoiced - credited - waived) FILTER (WHERE due_on <= $2), 0)::bigint,
	coalesce(sum(invoiced - credited - waived - outstanding) FILTER (WHERE due_on <= $2), 0)::bigint
FROM sums GROUP BY GROUPING SETS ((currency), (year, term, currency), (category, currency))
HAVING sum(invoices) <> 0 OR sum(collected) <> 0 OR sum(reversed) <> 0 OR sum(refunded) <> 0
ORDER BY currency, year, term, category`

const methodsSQL read.SQL = `-- fees.methods
WITH sums AS (
	SELECT year, term, currency, method, payments, collected, reversed, refunded
	FROM fee_methods WHERE school = $1 /*where*/
	UNION ALL
	SELECT * FROM jsonb_to_recordset($2::jsonb) AS a (
		year text COLLATE "C", term text COLLATE "C", currency text COLLATE "C",
		method text COLLATE "C", payments bigint, collected bigint, reversed bigint, refunded bigint)
	WHERE true /*where*/
)
SELECT currency, method, sum(payments)::bigint, sum(collected)::bigint, sum(reversed)::bigint,
	sum(refunded)::bigint
FROM sums GROUP BY currency, method HAVING sum(payments) <> 0 OR sum(refunded) <> 0
ORDER BY currency, method`

var ageingSQL = read.SQL(`-- fees.ageing
WITH ` + unsettled + `
SELECT currency, ` + buckets("open_amount", "$4") + `
FROM unsettled WHERE open_amount > 0 /*where*/ GROUP BY currency ORDER BY currency`)

var byClassSQL = read.SQL(`-- fees.ageing_by_class
WITH ` + unsettled + `
SELECT coalesce(s.class_id, ''), currency, ` + buckets("open_amount", "$4") + `,
	coalesce(sum(open_amount) FILTER (WHERE s.status = 'withdrawn'), 0)::bigint
FROM unsettled u
LEFT JOIN student_names($4) s ON s.school = $1 AND s.student_id = u.student_id
WHERE open_amount > 0 /*where*/ GROUP BY 1, 2 ORDER BY 1, 2`)

// buckets sums an amount by its age on a day.
func buckets(amount, today string) string {
	return strings.NewReplacer("$A", amount, "$T", today).Replace(bucketsSQL)
}

// What is dated ahead is taken out again: it may share a bucket with what is not.
const monthlySQL read.SQL = `-- fees.monthly
SELECT date_trunc('month', at AT TIME ZONE $2)::date AS month, currency, sum(payments)::bigint,
	sum(received)::bigint, sum(reversed)::bigint, sum(refunded)::bigint,
	sum(received - reversed - refunded)::bigint
FROM (
	SELECT received_at AS at, currency, payments, received, reversed, refunded
	FROM fee_revenue WHERE school = $1
	UNION ALL
	SELECT happened_at, currency, CASE WHEN kind = 'payment' THEN -1 ELSE 0 END,
		CASE WHEN kind = 'payment' THEN -amount ELSE 0 END,
		CASE WHEN kind = 'payment' AND reversed THEN -amount ELSE 0 END,
		CASE WHEN kind = 'refund' THEN -amount ELSE 0 END
	FROM fee_entries WHERE school = $1 AND happened_at >= $3 AND kind IN ('payment', 'refund')
) money
GROUP BY month, currency HAVING sum(payments) <> 0 OR sum(refunded) <> 0 ORDER BY currency, month`

const plannedSQL read.SQL = `-- fees.planned
SELECT currency, count(*), sum(amount)::bigint FROM fee_entries
WHERE school = $1 AND happened_at >= $2 AND kind = 'payment' AND NOT reversed
GROUP BY currency ORDER BY currency`

const unmatchedSQL read.SQL = `-- fees.unmatched
SELECT l ->> 'currency', sum((l ->> 'amount')::bigint)::bigint
FROM fee_invoices, jsonb_array_elements(lines) l
WHERE school = $1 AND (amount = 0 OR conflicted) AND l ->> 'kind' = 'payment'
	AND NOT l ? 'reversal' AND (amount = 0 OR l ->> 'currency' <> currency)
	AND (l ->> 'time')::timestamptz < $2
GROUP BY 1 ORDER BY 1`

func analyse(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) (*Finances, error) {
	a := &Finances{}
	later, err := readAhead(ctx, tx, scope)
	if err != nil {
		return nil, err
	}
	if err := a.readTotals(ctx, tx, scope, later, in); err != nil {
		return nil, err
	}
	conditions, args := in.filter(scope.School, later.methods())
	a.ByMethod, err = read.All(ctx, tx, methodsSQL.With(conditions...), func(m *Method) []any {
		return []any{&m.Currency, &m.Method, &m.Payments, &m.Collected, &m.Reversed, &m.Refunded}
	}, args...)
	if err != nil {
		return nil, err
	}
	conditions, args = in.filter(scope.School, later.tomorrow, later.open(), scope.Today)
	a.Ageing, err = read.All(ctx, tx, ageingSQL.With(conditions...), func(a *Ageing) []any {
		return append([]any{&a.Currency}, a.addresses()...)
	}, args...)
	if err != nil {
		return nil, err
	}
	a.ByClass, err = read.All(ctx, tx, byClassSQL.With(conditions...), func(a *ClassAgeing) []any {
		return slices.Concat([]any{&a.ClassID, &a.Currency}, a.addresses(), []any{&a.Leavers})
	}, args...)
	if err != nil {
		return nil, err
	}
	if a.Net, err = net(ctx, tx, scope, later); err != nil {
		return nil, err
	}
	a.Planned, err = read.All(ctx, tx, plannedSQL, func(p *Planned) []any {
		return []any{&p.Currency, &p.Payments, &p.Amount}
	}, scope.School, later.tomorrow)
	if err != nil {
		return nil, err
	}
	a.Unmatched, err = read.All(ctx, tx, unmatchedSQL, func(c *Currency) []any {
		return []any{&c.Currency, &c.Amount}
	}, scope.School, later.tomorrow)
	if err != nil {
		return nil, err
	}
	if a.Conflicts, err = conflicts(ctx, tx, scope.School); err != nil {
		return nil, err
	}
	a.Monthly, err = monthly(ctx, tx, scope)
	return a, err
}

// filter adds the conditions of an input to a statement's parameters.
func (in *input) filter(args ...any) (conditions []string, all []any) {
	if in.Year != "" {
		args = append(args, in.Year)
		conditions = append(conditions, fmt.Sprintf("year = $%d", len(args)))
	}
	if in.Term != "" {
		args = append(args, in.Term)
		conditions = append(conditions, fmt.Sprintf("term = $%d", len(args)))
	}
	return conditions, args
}

func (a *Finances) readTotals(
	ctx context.Context, tx pgx.Tx, scope query.Scope, later *ahead, in *input,
) error {
	type grouped struct {
		Totals
		allTerms, allCategories int
	}
	conditions, args := in.filter(scope.School, scope.Today, later.totals())
	rows, err := read.All(ctx, tx, totalsSQL.With(conditions...), func(g *grouped) []any {
		return []any{
			&g.allTerms, &g.allCategories, &g.Year, &g.Term, &g.Category, &g.Currency, &g.Invoices,
			&g.Invoiced, &g.Credited, &g.Waived, &g.WaivedExcess, &g.Collected, &g.Reversed,
			&g.Refunded, &g.Outstanding, &g.Overpaid, &g.Due, &g.Settled,
		}
	}, args...)
	for _, g := range rows {
		g.CollectionRate = read.Ratio(g.Settled, g.Due)
		switch {
		case g.allCategories == 0:
			a.ByCategory = append(a.ByCategory, g.Totals)
		case g.allTerms == 0:
			a.ByTerm = append(a.ByTerm, g.Totals)
		default:
			a.Totals = append(a.Totals, g.Totals)
		}
	}
	return err
}

func monthly(ctx context.Context, tx pgx.Tx, scope query.Scope) ([]Month, error) {
	return read.All(ctx, tx, monthlySQL, func(m *Month) []any {
		return []any{
			&m.Month, &m.Currency, &m.Payments, &m.Received, &m.Reversed, &m.Refunded, &m.Revenue,
		}
	}, scope.School, scope.Settings.Location().String(), tomorrow(scope))
}

var outstandingSQL = read.SQL(`-- fees.outstanding
WITH ` + unsettled + `
SELECT currency, sum(open_amount)::bigint FROM unsettled WHERE open_amount > 0
GROUP BY currency ORDER BY currency`)

// Outstanding returns the open amounts of the invoices of a school.
func Outstanding(ctx context.Context, tx pgx.Tx, scope query.Scope) ([]Currency, error) {
	later, err := readAhead(ctx, tx, scope)
	if err != nil {
		return nil, err
	}
	return read.All(ctx, tx, outstandingSQL,
		func(c *Currency) []any { return []any{&c.Currency, &c.Amount} },
		scope.School, later.tomorrow, later.open())
}
