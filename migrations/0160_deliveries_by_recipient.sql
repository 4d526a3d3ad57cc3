-- What one guardian, student or member of staff was told.

-- +goose Up
-- deliveries.planned
CREATE INDEX ledger_by_recipient ON schoolbell.ledger (school, recipient);
-- deliveries.outcomes
CREATE INDEX deliveries_by_recipient ON schoolbell.deliveries (school, recipient, position);

-- +goose Down
DROP INDEX schoolbell.ledger_by_recipient, schoolbell.deliveries_by_recipient;
