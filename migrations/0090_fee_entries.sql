-- owner: projections/fees
--
-- Entries of invoices with ids of their own: payments, refunds, credit notes, waivers, changes and cancellations. What is in the
-- tables is carried over, so that queries find it until the projections have rebuilt them from the log.
-- +goose Up
CREATE TABLE schoolbell.fee_entries (
	school      text COLLATE "C" NOT NULL,
	kind        text COLLATE "C" NOT NULL,
	entry_id    text COLLATE "C" NOT NULL,
	invoice_id  text COLLATE "C" NOT NULL,
	student_id  text COLLATE "C" NOT NULL,
	amount      bigint NOT NULL, -- 0 until the entry itself has arrived
	currency    text COLLATE "C" NOT NULL,
	method      text COLLATE "C" NOT NULL,
	happened_at timestamptz,
	position    bigint NOT NULL,
	reversed    boolean NOT NULL,
	versions    jsonb NOT NULL,
	reversals   jsonb NOT NULL,
	conflicted  boolean NOT NULL,
	PRIMARY KEY (school, kind, entry_id)
);
SELECT schoolbell.protect('schoolbell.fee_entries');
SELECT schoolbell.let_jobs_read('schoolbell.fee_entries');
CREATE TABLE schoolbell.fee_cohorts (
	school      text COLLATE "C" NOT NULL,
	currency    text COLLATE "C" NOT NULL,
	due_month   date NOT NULL,
	happened_at timestamptz NOT NULL,
	invoiced    bigint NOT NULL,
	paid        bigint NOT NULL,
	PRIMARY KEY (school, currency, due_month, happened_at)
) WITH (fillfactor = 50);
SELECT schoolbell.protect('schoolbell.fee_cohorts');

SET LOCAL ROLE schoolbell_projector; -- from the owner of the tables their policies hide the rows
INSERT INTO schoolbell.fee_entries
SELECT school, 'payment', payment_id, invoice_id, student_id, amount, currency, method, received_at, position, reversal <> '{}',
	CASE WHEN amount = 0 THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
		'said', jsonb_build_object('position', position, 'time', received_at), 'since', received_at,
		'last', jsonb_build_object('position', position, 'time', received_at),
		'content', jsonb_build_object('invoice_id', invoice_id, 'student_id', student_id, 'amount', amount, 'currency', currency,
			'method', method))) END,
	CASE WHEN reversal = '{}' THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
		'said', reversal - 'reason', 'since', reversal -> 'time', 'last', reversal - 'reason', 'content', reversal -> 'reason')) END,
	false
FROM schoolbell.fee_payments;
-- A waiver had no id: it gets the one that the upcaster derives, domain/fee.DerivedWaiverID.
INSERT INTO schoolbell.fee_entries
SELECT DISTINCT ON (school, id) school, 'waiver', id, invoice_id, '', (w ->> 'amount')::bigint, '', '', (w ->> 'time')::timestamptz,
	(w ->> 'position')::bigint, false,
	jsonb_build_array(jsonb_build_object(
		'said', jsonb_build_object('position', w -> 'position', 'time', w -> 'time'), 'since', w -> 'time',
		'last', jsonb_build_object('position', w -> 'position', 'time', w -> 'time'),
		'content', jsonb_build_object('invoice_id', invoice_id, 'amount', w -> 'amount', 'reason', w -> 'reason'))),
	'[]', false
FROM schoolbell.fee_invoices, jsonb_array_elements(waivers) w, LATERAL (
	SELECT 'w-' || left(encode(sha256(convert_to(concat_ws(E'\n', invoice_id, w ->> 'amount', w ->> 'reason'), 'UTF8')), 'hex'), 16) AS id
) named
ORDER BY school, id, (w ->> 'position')::bigint;
RESET ROLE;
-- for the rest of this migration
CREATE INDEX fee_entries_by_invoice ON schoolbell.fee_entries (school, invoice_id);

ALTER TABLE schoolbell.fee_invoices
	ADD COLUMN cancelled     boolean NOT NULL DEFAULT false,
	ADD COLUMN credited      bigint NOT NULL DEFAULT 0,
	ADD COLUMN waived_excess bigint NOT NULL DEFAULT 0,
	ADD COLUMN collected     bigint NOT NULL DEFAULT 0,
	ADD COLUMN reversed      bigint NOT NULL DEFAULT 0,
	ADD COLUMN refunded      bigint NOT NULL DEFAULT 0,
	ADD COLUMN latest_at     timestamptz,
	ADD COLUMN versions      jsonb NOT NULL DEFAULT '[]',
	ADD COLUMN lines         jsonb NOT NULL DEFAULT '[]';
SET LOCAL ROLE schoolbell_projector;
UPDATE schoolbell.fee_invoices i SET
	collected = CASE WHEN amount > 0 THEN amount - waived - open_amount ELSE 0 END,
	reversed = (SELECT coalesce(sum((p ->> 'reversed')::bigint), 0) FROM jsonb_array_elements(payments) p
		WHERE amount > 0 AND p ->> 'currency' = currency),
	waived_excess = (SELECT coalesce(sum((w ->> 'excess')::bigint), 0) FROM jsonb_array_elements(waivers) w WHERE amount > 0),
	versions = CASE WHEN amount = 0 THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
		'said', jsonb_build_object('position', position, 'time', invoiced_at), 'since', invoiced_at,
		'last', jsonb_build_object('position', position, 'time', invoiced_at),
		'content', jsonb_build_object('student_id', student_id, 'year', year, 'term', term, 'category', category, 'amount', amount,
			'currency', currency, 'due_on', due_on))) END,
	lines = (
		SELECT coalesce(jsonb_agg((e.versions -> 0 -> 'content') - 'invoice_id' || (e.versions -> 0 -> 'said') || jsonb_strip_nulls(
			jsonb_build_object('kind', e.kind, 'id', e.entry_id,
				'reversal', (e.reversals -> 0 -> 'said') || jsonb_build_object('reason', e.reversals -> 0 -> 'content')))
			ORDER BY e.happened_at, e.position), '[]')
		FROM schoolbell.fee_entries e WHERE e.school = i.school AND e.invoice_id = i.invoice_id AND e.amount > 0),
	latest_at = greatest(invoiced_at, (
		SELECT max(greatest(e.happened_at, (e.reversals -> 0 -> 'said' ->> 'time')::timestamptz)) FROM schoolbell.fee_entries e
		WHERE e.school = i.school AND e.invoice_id = i.invoice_id AND e.amount > 0));
RESET ROLE;
DROP INDEX schoolbell.fee_invoices_open, schoolbell.fee_entries_by_invoice;
ALTER TABLE schoolbell.fee_invoices
	DROP COLUMN payments,
	DROP COLUMN waivers,
	DROP COLUMN repeats;
-- What is open and what was overpaid: this index covers all queries of it, and holds only the few invoices that are not settled.
CREATE INDEX fee_invoices_unsettled ON schoolbell.fee_invoices (school, year, term, due_on)
	INCLUDE (invoice_id, student_id, currency, open_amount, latest_at) WHERE open_amount <> 0;
-- fees.ahead
CREATE INDEX fee_invoices_latest ON schoolbell.fee_invoices (school, latest_at);
-- fees.account, and the facts of accounts for messages
CREATE INDEX fee_entries_by_student ON schoolbell.fee_entries (school, student_id);
-- fees.collected, fees.planned and fees.monthly
CREATE INDEX fee_entries_by_time ON schoolbell.fee_entries (school, happened_at);
-- fees.conflicted_entries
CREATE INDEX fee_entries_conflicted ON schoolbell.fee_entries (school, kind, entry_id) WHERE conflicted;

ALTER TABLE schoolbell.fee_totals
	ADD COLUMN due_on        date,
	ADD COLUMN credited      bigint NOT NULL DEFAULT 0,
	ADD COLUMN waived_excess bigint NOT NULL DEFAULT 0,
	ADD COLUMN refunded      bigint NOT NULL DEFAULT 0;
ALTER TABLE schoolbell.fee_totals DROP CONSTRAINT fee_totals_pkey;
ALTER TABLE schoolbell.fee_methods ADD COLUMN refunded bigint NOT NULL DEFAULT 0;
DROP TABLE schoolbell.fee_revenue;
CREATE TABLE schoolbell.fee_revenue (
	school      text COLLATE "C" NOT NULL,
	currency    text COLLATE "C" NOT NULL,
	received_at timestamptz NOT NULL, -- a quarter of an hour on the first and last day of a month, else the middle of the month
	payments    bigint NOT NULL,
	received    bigint NOT NULL,
	reversed    bigint NOT NULL,
	refunded    bigint NOT NULL,
	PRIMARY KEY (school, currency, received_at)
) WITH (fillfactor = 50);
SELECT schoolbell.protect('schoolbell.fee_revenue');
-- +goose StatementBegin
CREATE FUNCTION pg_temp.bucket(t timestamptz) RETURNS timestamptz LANGUAGE sql AS $$
	SELECT CASE WHEN extract(day FROM t AT TIME ZONE 'UTC') = 1
			OR extract(day FROM (t + interval '1 day') AT TIME ZONE 'UTC') = 1
		THEN to_timestamp(floor(extract(epoch FROM t) / 900) * 900)
		ELSE (date_trunc('month', t AT TIME ZONE 'UTC') + interval '14 days') AT TIME ZONE 'UTC' END
$$;
-- +goose StatementEnd
SET LOCAL ROLE schoolbell_projector;
DELETE FROM schoolbell.fee_totals;
INSERT INTO schoolbell.fee_totals (school, year, term, currency, category, due_on, invoices, invoiced, waived, waived_excess,
	collected, reversed, outstanding, overpaid)
SELECT school, year, term, currency, category, due_on, count(*), sum(amount), sum(waived), sum(waived_excess), sum(collected),
	sum(reversed), sum(greatest(open_amount, 0)), sum(greatest(-open_amount, 0))
FROM schoolbell.fee_invoices WHERE amount > 0 GROUP BY school, year, term, currency, category, due_on;
INSERT INTO schoolbell.fee_revenue
SELECT school, currency, pg_temp.bucket(happened_at), count(*), sum(amount), sum(CASE WHEN reversed THEN amount ELSE 0 END), 0
FROM schoolbell.fee_entries WHERE kind = 'payment' AND amount > 0 GROUP BY 1, 2, 3;
INSERT INTO schoolbell.fee_cohorts
SELECT school, currency, date_trunc('month', due_on)::date, at, sum(invoiced), sum(paid)
FROM (
	SELECT school, currency, due_on, pg_temp.bucket(invoiced_at) AS at, amount AS invoiced, 0 AS paid
	FROM schoolbell.fee_invoices WHERE amount > 0
	UNION ALL
	SELECT i.school, i.currency, i.due_on, pg_temp.bucket(e.happened_at), 0, e.amount
	FROM schoolbell.fee_entries e JOIN schoolbell.fee_invoices i USING (school, invoice_id, currency)
	WHERE e.kind = 'payment' AND NOT e.reversed AND i.amount > 0
) moved GROUP BY 1, 2, 3, 4;
RESET ROLE;
DROP FUNCTION pg_temp.bucket;
ALTER TABLE schoolbell.fee_totals ADD CONSTRAINT fee_totals_pkey PRIMARY KEY (school, year, term, currency, category, due_on);
DROP TABLE schoolbell.fee_payments;
CREATE OR REPLACE VIEW schoolbell.open_invoices WITH (security_invoker = true) AS
SELECT school, student_id, open_invoices, balances FROM schoolbell.fee_accounts;
