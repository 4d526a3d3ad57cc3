-- owner: consumers/ledger
--
-- When a provider was last called for a delivery, and which deliveries have no price yet.

-- +goose Up

-- The last time at which the provider may have been called: what it does not list some time after that was not sent.
ALTER TABLE schoolbell.ledger ADD COLUMN requested_at timestamptz;

-- Deliveries that a provider has accepted without saying what they cost. They are few at a time: a row goes when the price
-- is known, or has been asked for often enough.
CREATE TABLE schoolbell.ledger_prices (
	delivery_id text        COLLATE "C" NOT NULL PRIMARY KEY,
	due_at      timestamptz NOT NULL,
	asked       integer     NOT NULL DEFAULT 0
);
CREATE INDEX ledger_prices_by_time ON schoolbell.ledger_prices (due_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.ledger_prices TO schoolbell_jobs;
