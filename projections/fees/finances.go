package fees

import "github.com/schoolbell/schoolbell/domain"

// Finances is a school's money. All amounts are in minor units of the currency next to them.
type Finances struct {
	Totals     []Totals      `json:"totals" doc:"In all, by currency"`
	ByTerm     []Totals      `json:"by_term"`
	ByCategory []Totals      `json:"by_category"`
	ByMethod   []Method      `json:"by_method"`
	Ageing     []Ageing      `json:"ageing" doc:"How long the outstanding amounts have been due, by invoice: they add up to outstanding"`
	ByClass    []ClassAgeing `json:"by_class" doc:"The same by the home class of the student today, or the last one"`
	Net        []NetOpen     `json:"net" doc:"What is outstanding when credit is applied, whatever the requested year or term"`
	Monthly    []Month       `json:"monthly" doc:"Revenue by the month of the payment by the school's clock, whatever the requested year or term"`
	Planned    []Planned     `json:"planned" doc:"Payments that are dated after today, which no other sum includes"`
	Unmatched  []Currency    `json:"unmatched" doc:"Payments for invoices that have not arrived (yet) or are in another currency; of the other sums only the monthly ones include them"`
	Conflicts  []Conflict    `json:"conflicts" doc:"Facts that contradict others and change no sum, of at most 200 invoices and 200 other entries"`
}

// Totals are sums over invoices.
type Totals struct {
	Year           domain.Label `json:"year,omitzero"`
	Term           domain.Label `json:"term,omitzero"`
	Category       string       `json:"category,omitzero"`
	Currency       string       `json:"currency"`
	Invoices       int64        `json:"invoices" doc:"How many there are that are not cancelled"`
	Invoiced       int64        `json:"invoiced" doc:"What these charge"`
	Credited       int64        `json:"credited" doc:"Taken back by credit notes, at most what was charged"`
	Waived         int64        `json:"waived" doc:"Of each waiver at most what was open at its time"`
	WaivedExcess   int64        `json:"waived_excess" doc:"Waived beyond that, which is nobody's money"`
	Collected      int64        `json:"collected" doc:"Paid and not reversed, less what was refunded"`
	Reversed       int64        `json:"reversed" doc:"Payments that were reversed"`
	Refunded       int64        `json:"refunded" doc:"Given back, at most what was received"`
	Outstanding    int64        `json:"outstanding" doc:"Open amounts of invoices"`
	Overpaid       int64        `json:"overpaid" doc:"Money that came in beyond what was to be paid, which is credit of the accounts; outstanding - overpaid = invoiced - credited - waived - collected"`
	Due            int64        `json:"due" doc:"Of invoiced - credited - waived, what is due by today"`
	Settled        int64        `json:"settled" doc:"Of what is due by today, what is paid"`
	CollectionRate *float64     `json:"collection_rate" doc:"settled / due, from 0 to 1; null when nothing is due"`
}

// Method is what was received by one method of payment.
type Method struct {
	Currency  string `json:"currency"`
	Method    string `json:"method" enum:"cash,card,bank,mobile_money"`
	Payments  int64  `json:"payments" doc:"How many there were"`
	Collected int64  `json:"collected"`
	Reversed  int64  `json:"reversed" doc:"Of these payments, what was reversed"`
	Refunded  int64  `json:"refunded"`
}

// Buckets are open amounts by how long they have been due.
type Buckets struct {
	Current int64 `json:"current" doc:"Not due yet, or due today"`
	Days30  int64 `json:"days_1_30" doc:"Due since 1 to 30 days"`
	Days60  int64 `json:"days_31_60" doc:"Due since 31 to 60 days"`
	Days90  int64 `json:"days_61_90" doc:"Due since 61 to 90 days"`
	Older   int64 `json:"days_over_90" doc:"Due since more than 90 days"`
}

// bucketsSQL sums an amount by age; the name of today's parameter is put in for $T.
const bucketsSQL = `coalesce(sum($A) FILTER (WHERE due_on >= $T::date), 0)::bigint,
	coalesce(sum($A) FILTER (WHERE due_on < $T::date AND due_on >= $T::date - 30), 0)::bigint,
	coalesce(sum($A) FILTER (WHERE due_on < $T::date - 30 AND due_on >= $T::date - 60), 0)::bigint,
	coalesce(sum($A) FILTER (WHERE due_on < $T::date - 60 AND due_on >= $T::date - 90), 0)::bigint,
	coalesce(sum($A) FILTER (WHERE due_on < $T::date - 90), 0)::bigint`

func (a *Buckets) addresses() []any {
	return []any{&a.Current, &a.Days30, &a.Days60, &a.Days90, &a.Older}
}

// Ageing is open amounts in a currency by how long they have been due.
type Ageing struct {
	Currency string `json:"currency"`
	Buckets
}

// ClassAgeing is open amounts of a class.
type ClassAgeing struct {
	ClassID  string `json:"class_id" doc:"Empty for students who were never in a class"`
	Currency string `json:"currency"`
	Buckets
	Leavers int64 `json:"leavers" doc:"How much of it students owe who have left"`
}

// NetOpen is what is outstanding by invoice, and when credit is applied to the open invoices of the
// same account, or of all accounts of a family.
type NetOpen struct {
	Currency  string `json:"currency"`
	ByInvoice int64  `json:"by_invoice" doc:"What is open of invoices"`
	Credit    int64  `json:"credit" doc:"What was overpaid for others"`
	ByAccount int64  `json:"by_account" doc:"What is outstanding after the credit of each account was applied to its invoices"`
	ByFamily  int64  `json:"by_family" doc:"After the credit of each family, the students who have guardians in common, was applied to its accounts"`
	Unapplied int64  `json:"unapplied" doc:"The credit that is left in families that owe nothing; by_family - unapplied = by_invoice - credit"`
	Accounts  int64  `json:"accounts" doc:"How many accounts owe something"`
	Families  int64  `json:"families" doc:"How many families do"`
}

// Month is the revenue of a month.
type Month struct {
	Month    domain.Date `json:"month" doc:"Its first day"`
	Currency string      `json:"currency"`
	Payments int64       `json:"payments" doc:"How many there were"`
	Received int64       `json:"received" doc:"All payments of the month, also those that were reversed since"`
	Reversed int64       `json:"reversed" doc:"Of what was received in the month, what was reversed since"`
	Refunded int64       `json:"refunded" doc:"What was given back in the month"`
	Revenue  int64       `json:"revenue" doc:"received - reversed - refunded"`
}

// Planned is what payments that are dated ahead will bring.
type Planned struct {
	Currency string `json:"currency"`
	Payments int64  `json:"payments" doc:"How many there are"`
	Amount   int64  `json:"amount" doc:"What they will bring"`
}

// Currency is an amount.
type Currency struct {
	Currency string `json:"currency"`
	Amount   int64  `json:"amount" doc:"In minor units"`
}
