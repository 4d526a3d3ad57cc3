package fees

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

var accountsQuery = query.Query[accountsInput, Accounts]{
	Name:    "fee-accounts",
	Path:    "/fees/accounts",
	Summary: "Accounts that owe something",
	Description: "The accounts of students, in each currency, that owe something after their " +
		"credit was applied to their invoices, the first due first; the longest overdue account " +
		"first. Students who have left are among them. Accountants see the names of guardians, the " +
		"office also how to reach them.",
	Reads:   []*projections.Projection{Projection, students.Projection},
	TTL:     5 * time.Minute,
	Roles:   []query.Role{query.Admin, query.Office, query.Accountant},
	ByScope: true,
	Indexes: []query.Index{
		{Name: "fee_invoices_unsettled", Statement: "fees.accounts", Request: "/fees/accounts"},
		{
			Name: "fee_invoices_unsettled", Statement: "fees.accounts",
			Request: "/fees/accounts?class=class-07&minimum=100&overdue_days=30&leavers=only",
		},
	},
	Run: listAccounts,
}

// accountsInput selects accounts.
type accountsInput struct {
	Class       string `query:"class" maxLength:"128" doc:"Only students of this home class"`
	Currency    string `query:"currency" maxLength:"3" doc:"Only accounts in this currency"`
	Minimum     int64  `query:"minimum" minimum:"0" doc:"Only accounts that owe at least this, in minor units"`
	OverdueDays int    `query:"overdue_days" minimum:"0" maximum:"36500" doc:"Only accounts that have been overdue for at least so many days"`
	Leavers     string `query:"leavers" enum:"include,only,none" default:"include" doc:"Whether students who have left are listed"`
	After       string `query:"after" maxLength:"2048" doc:"The next of the previous page"`
	Limit       int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Accounts on a page"`
}

// Accounts is a page of accounts.
type Accounts struct {
	Accounts []Owing `json:"accounts"`
	Next     string  `json:"next,omitzero" doc:"Pass it as after to get the next page; absent on the last one"`
}

// Owing is an account that owes something.
type Owing struct {
	StudentID   string             `json:"student_id"`
	GivenName   string             `json:"given_name"`
	FamilyName  string             `json:"family_name"`
	ClassID     string             `json:"class_id" doc:"The home class, or the last one"`
	Status      string             `json:"status" doc:"enrolled, withdrawn, expected or unknown"`
	LeftOn      domain.Date        `json:"left_on,omitzero"`
	Currency    string             `json:"currency"`
	ByInvoice   int64              `json:"by_invoice" doc:"What is open of invoices"`
	Credit      int64              `json:"credit" doc:"What was overpaid for other invoices, and is applied to them"`
	Outstanding int64              `json:"outstanding" doc:"by_invoice - credit"`
	Overdue     int64              `json:"overdue" doc:"Of outstanding, what was due before today"`
	Since       domain.Date        `json:"due_since" doc:"When the first invoice was, or is, due that credit does not pay"`
	OverdueDays int                `json:"overdue_days" doc:"How many days ago that was; 0 when nothing is overdue"`
	Ageing      Buckets            `json:"ageing" doc:"How long the outstanding amount has been due"`
	Family      Family             `json:"family"`
	Guardians   []students.Contact `json:"guardians"`
}

// Family is the students who have guardians in common.
type Family struct {
	ID          string   `json:"id,omitzero" doc:"The first of its students by id; for those who see siblings"`
	StudentIDs  []string `json:"student_ids,omitzero" doc:"Those with a balance in this currency; for those who see siblings"`
	Outstanding int64    `json:"outstanding" doc:"What the family owes after the credit of all of its accounts"`
}

// accountCursor is where a page ends.
type accountCursor struct {
	Since     domain.Date `json:"d"`
	StudentID string      `json:"s"`
	Currency  string      `json:"c"`
}

// Credit pays the invoices that are due first: what is left of one is the running sum beyond it.
var accountsSQL = read.SQL(`-- fees.accounts
WITH ` + unsettled + `, running AS (
	SELECT student_id, currency, due_on, open_amount,
		sum(greatest(open_amount, 0)) OVER (
			PARTITION BY student_id, currency ORDER BY due_on, invoice_id) AS so_far,
		-sum(least(open_amount, 0)) OVER (PARTITION BY student_id, currency) AS credit
	FROM unsettled
), rest AS (
	SELECT student_id, currency, due_on, open_amount, credit,
		CASE WHEN open_amount > 0 THEN least(open_amount, greatest(so_far - credit, 0)) ELSE 0 END AS amount
	FROM running
), owing AS (
	SELECT student_id, currency, min(due_on) FILTER (WHERE amount > 0) AS due_since,
		sum(greatest(open_amount, 0))::bigint AS by_invoice, max(credit)::bigint AS credit,
		sum(amount)::bigint AS outstanding,
		` + buckets("amount", "$4") + `
	FROM rest GROUP BY student_id, currency HAVING sum(amount) > 0
)
SELECT o.*, coalesce(s.given_name, ''), coalesce(s.family_name, ''), coalesce(s.class_id, ''),
	coalesce(s.status, 'unknown'), s.left_on
FROM owing o LEFT JOIN student_names($4) s ON s.school = $1 AND s.student_id = o.student_id
WHERE true /*where*/ ORDER BY o.due_since, o.student_id, o.currency LIMIT $5`)

func listAccounts(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *accountsInput,
) (*Accounts, error) {
	after, err := read.ParseCursor[accountCursor](in.After)
	if err != nil {
		return nil, err
	}
	later, err := readAhead(ctx, tx, scope)
	if err != nil {
		return nil, err
	}
	limit := read.Page(in.Limit, 50, 500)
	args := []any{scope.School, later.tomorrow, later.open(), scope.Today, limit + 1}
	var conditions []string
	where := func(condition string, values ...any) {
		places := make([]any, len(values))
		for i, v := range values {
			args = append(args, v)
			places[i] = len(args)
		}
		conditions = append(conditions, fmt.Sprintf(condition, places...))
	}
	if ids := scope.Access.Among(access.Names | access.Fees); ids != nil {
		where("o.student_id = ANY($%d)", ids)
	}
	if in.Class != "" {
		where("s.class_id = $%d", in.Class)
	}
	if in.Currency != "" {
		where("o.currency = $%d", in.Currency)
	}
	if in.Minimum > 0 {
		where("o.outstanding >= $%d", in.Minimum)
	}
	if in.OverdueDays > 0 {
		where("o.due_since <= $%d", scope.Today.AddDays(-in.OverdueDays))
	}
	switch in.Leavers {
	case "only":
		where("s.status = 'withdrawn'")
	case "none":
		where("s.status IS DISTINCT FROM 'withdrawn'")
	}
	if after != nil {
		where("(o.due_since, o.student_id, o.currency) > ($%d::date, $%d, $%d)", after.Since,
			after.StudentID, after.Currency)
	}
	found, err := read.All(ctx, tx, accountsSQL.With(conditions...), func(o *Owing) []any {
		return slices.Concat([]any{
			&o.StudentID, &o.Currency, &o.Since, &o.ByInvoice, &o.Credit, &o.Outstanding,
		}, o.Ageing.addresses(), []any{
			&o.GivenName, &o.FamilyName, &o.ClassID, &o.Status, &o.LeftOn,
		})
	}, args...)
	if err != nil {
		return nil, err
	}
	a := &Accounts{}
	a.Accounts, a.Next, err = read.Cut(found, limit, func(o Owing) accountCursor {
		return accountCursor{o.Since, o.StudentID, o.Currency}
	})
	if err != nil {
		return nil, err
	}
	return a, a.complete(ctx, tx, scope, later)
}

// complete adds what is not of the account itself: the guardians and the family.
func (a *Accounts) complete(
	ctx context.Context, tx pgx.Tx, scope query.Scope, later *ahead,
) error {
	ids := make([]string, len(a.Accounts))
	for i, o := range a.Accounts {
		ids[i] = o.StudentID
	}
	guardians, err := students.Guardians(ctx, tx, scope.School, ids, scope.Today)
	if err != nil {
		return err
	}
	families, err := readFamilies(ctx, tx, scope, later)
	if err != nil {
		return err
	}
	for i := range a.Accounts {
		o := &a.Accounts[i]
		o.Overdue = o.Outstanding - o.Ageing.Current
		if o.Overdue > 0 {
			o.OverdueDays = int(scope.Today - o.Since)
		}
		o.Guardians = guardians[o.StudentID]
		if !scope.Access.Of(o.StudentID).Has(access.Contacts) {
			students.HideContacts(o.Guardians)
		}
		o.Family = families.of(o.StudentID, o.Currency, scope.Access.Of(o.StudentID))
	}
	return nil
}

var balancesSQL = read.SQL(`-- fees.balances
WITH ` + unsettled + `
SELECT student_id, currency, coalesce(sum(open_amount) FILTER (WHERE open_amount > 0), 0)::bigint,
	coalesce(-sum(open_amount) FILTER (WHERE open_amount < 0), 0)::bigint
FROM unsettled GROUP BY student_id, currency ORDER BY currency, student_id`)

// unsettledAccount is what is open of a student's invoices in a currency, and what was overpaid.
type unsettledAccount struct {
	studentID, currency string
	open, credit        int64
}

// families are the accounts of a school that are not settled, by currency and family.
type families struct {
	students.Families
	by map[familyKey][]unsettledAccount
}

type familyKey struct{ currency, family string }

func readFamilies(
	ctx context.Context, tx pgx.Tx, scope query.Scope, later *ahead,
) (*families, error) {
	f := &families{by: map[familyKey][]unsettledAccount{}}
	var err error
	if f.Families, err = students.FamiliesOf(ctx, tx, scope.School, scope.Today); err != nil {
		return nil, err
	}
	err = read.Each(ctx, tx, balancesSQL, func(a *unsettledAccount) []any {
		return []any{&a.studentID, &a.currency, &a.open, &a.credit}
	}, func(a unsettledAccount) {
		key := familyKey{a.currency, f.Of(a.studentID)}
		f.by[key] = append(f.by[key], a)
	}, scope.School, later.tomorrow, later.open())
	return f, err
}

// of returns the family of a student, with what it owes in a currency. Who else is in it is left out for
// callers who may not see siblings.
func (f *families) of(studentID, currency string, see access.Fields) Family {
	family := Family{ID: f.Of(studentID)}
	balance := int64(0)
	for _, a := range f.by[familyKey{currency, family.ID}] {
		family.StudentIDs = append(family.StudentIDs, a.studentID)
		balance += a.open - a.credit
	}
	if !see.Has(access.Siblings) {
		family.ID, family.StudentIDs = "", nil
	}
	family.Outstanding = max(balance, 0)
	return family
}

// net applies credit to accounts and families.
func net(ctx context.Context, tx pgx.Tx, scope query.Scope, later *ahead) ([]NetOpen, error) {
	f, err := readFamilies(ctx, tx, scope, later)
	if err != nil {
		return nil, err
	}
	by := map[string]*NetOpen{}
	for key, accounts := range f.by {
		n := by[key.currency]
		if n == nil {
			n = &NetOpen{Currency: key.currency}
			by[key.currency] = n
		}
		balance := int64(0)
		for _, a := range accounts {
			n.ByInvoice += a.open
			n.Credit += a.credit
			balance += a.open - a.credit
			if owed := a.open - a.credit; owed > 0 {
				n.ByAccount += owed
				n.Accounts++
			}
		}
		n.Unapplied += max(-balance, 0)
		if balance > 0 {
			n.ByFamily += balance
			n.Families++
		}
	}
	all := []NetOpen{}
	for _, n := range slices.SortedFunc(maps.Values(by), func(a, b *NetOpen) int {
		return cmp.Compare(a.Currency, b.Currency)
	}) {
		all = append(all, *n)
	}
	return all, nil
}
