-- owner: projections/fees
--
-- What contradicts itself in the books: it is stored with the invoice, and shown.

-- +goose Up

ALTER TABLE schoolbell.fee_invoices
	ADD COLUMN repeats    jsonb   NOT NULL DEFAULT '[]',
	ADD COLUMN conflicted boolean NOT NULL DEFAULT false;
-- fees.unmatched and fees.conflicts
DROP INDEX schoolbell.fee_invoices_unmatched;
CREATE INDEX fee_invoices_unmatched ON schoolbell.fee_invoices (school, invoice_id) WHERE amount = 0 OR conflicted;
