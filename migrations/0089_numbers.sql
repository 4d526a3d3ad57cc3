-- owner: consumers/ledger
--
-- Whose telephone number it is that texts STOP.

-- +goose Up

CREATE INDEX ledger_by_number ON schoolbell.ledger USING hash (coalesce(sent_to, address)) WHERE channel = 'sms';
