-- owner: projections/fees
--
-- Fees: invoices, payments, accounts and the totals made of them.

-- +goose Up

CREATE TABLE schoolbell.fee_invoices (
	school      text COLLATE "C" NOT NULL,
	invoice_id  text COLLATE "C" NOT NULL,
	student_id  text COLLATE "C" NOT NULL,
	year        text COLLATE "C" NOT NULL,
	term        text COLLATE "C" NOT NULL,
	category    text COLLATE "C" NOT NULL,
	currency    text COLLATE "C" NOT NULL,
	amount      bigint NOT NULL, -- 0 until the invoice itself has arrived
	waived      bigint NOT NULL,
	open_amount bigint NOT NULL,
	due_on      date,
	payments    jsonb NOT NULL,
	position    bigint NOT NULL,
	waivers     jsonb NOT NULL,
	invoiced_at timestamptz,
	PRIMARY KEY (school, invoice_id)
) WITH (fillfactor = 80);
SELECT schoolbell.protect('schoolbell.fee_invoices');
SELECT schoolbell.let_jobs_read('schoolbell.fee_invoices');
-- fees.ageing reads only this index: it covers the query, and holds only the few invoices that are open.
CREATE INDEX fee_invoices_open ON schoolbell.fee_invoices (school, year, term, due_on)
	INCLUDE (currency, open_amount) WHERE open_amount > 0;
-- fees.unmatched
CREATE INDEX fee_invoices_unmatched ON schoolbell.fee_invoices (school) WHERE amount = 0;
-- a statement of a student's account
CREATE INDEX fee_invoices_by_student ON schoolbell.fee_invoices (school, student_id);

CREATE TABLE schoolbell.fee_payments (
	school      text COLLATE "C" NOT NULL,
	payment_id  text COLLATE "C" NOT NULL,
	invoice_id  text COLLATE "C" NOT NULL,
	student_id  text COLLATE "C" NOT NULL,
	amount      bigint NOT NULL, -- 0 until the payment itself has arrived
	currency    text COLLATE "C" NOT NULL,
	method      text COLLATE "C" NOT NULL,
	received_at timestamptz,
	position    bigint NOT NULL,
	reversal    jsonb NOT NULL,
	PRIMARY KEY (school, payment_id)
);
SELECT schoolbell.protect('schoolbell.fee_payments');
SELECT schoolbell.let_jobs_read('schoolbell.fee_payments');
CREATE INDEX fee_payments_by_student ON schoolbell.fee_payments (school, student_id);

CREATE TABLE schoolbell.fee_accounts (
	school        text COLLATE "C" NOT NULL,
	student_id    text COLLATE "C" NOT NULL,
	balances      jsonb NOT NULL,
	open_invoices jsonb NOT NULL,
	PRIMARY KEY (school, student_id)
) WITH (fillfactor = 60);
SELECT schoolbell.protect('schoolbell.fee_accounts');

CREATE TABLE schoolbell.fee_totals (
	school      text COLLATE "C" NOT NULL,
	year        text COLLATE "C" NOT NULL,
	term        text COLLATE "C" NOT NULL,
	currency    text COLLATE "C" NOT NULL,
	category    text COLLATE "C" NOT NULL,
	invoices    bigint NOT NULL,
	invoiced    bigint NOT NULL,
	waived      bigint NOT NULL,
	collected   bigint NOT NULL,
	reversed    bigint NOT NULL,
	outstanding bigint NOT NULL,
	overpaid    bigint NOT NULL,
	PRIMARY KEY (school, year, term, currency, category)
) WITH (fillfactor = 50);
SELECT schoolbell.protect('schoolbell.fee_totals');

CREATE TABLE schoolbell.fee_methods (
	school    text COLLATE "C" NOT NULL,
	year      text COLLATE "C" NOT NULL,
	term      text COLLATE "C" NOT NULL,
	currency  text COLLATE "C" NOT NULL,
	method    text COLLATE "C" NOT NULL,
	payments  bigint NOT NULL,
	collected bigint NOT NULL,
	reversed  bigint NOT NULL,
	PRIMARY KEY (school, year, term, currency, method)
) WITH (fillfactor = 50);
SELECT schoolbell.protect('schoolbell.fee_methods');

CREATE TABLE schoolbell.fee_revenue (
	school   text COLLATE "C" NOT NULL,
	currency text COLLATE "C" NOT NULL,
	month    date NOT NULL,
	payments bigint NOT NULL,
	received bigint NOT NULL,
	reversed bigint NOT NULL,
	PRIMARY KEY (school, currency, month)
) WITH (fillfactor = 50);
SELECT schoolbell.protect('schoolbell.fee_revenue');

-- What students have still to pay, for other read models to join.
CREATE VIEW schoolbell.open_invoices WITH (security_invoker = true) AS
SELECT school, student_id, open_invoices FROM schoolbell.fee_accounts;
GRANT SELECT ON schoolbell.open_invoices TO schoolbell_api;
