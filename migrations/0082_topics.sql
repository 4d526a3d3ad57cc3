-- owner: consumers/ledger
--
-- What deliveries say, so that it is said once, and taken back by another one when it was not so; and how they had
-- changed by the time they were sent.

-- +goose Up

-- The plan stays as it was made, in address and params; what the provider got in their place is in sent_to and
-- sent_params. Cleared means that the delivery was still true when it was last started: it may have been handed over.
ALTER TABLE schoolbell.ledger
	ADD COLUMN topic       text COLLATE "C" NOT NULL DEFAULT '',
	ADD COLUMN retracts    boolean NOT NULL DEFAULT false,
	ADD COLUMN cleared     boolean NOT NULL DEFAULT false,
	ADD COLUMN otherwise   jsonb, -- whom to reach when it fails
	ADD COLUMN instead_of  text COLLATE "C" NOT NULL DEFAULT '', -- the delivery that failed before
	ADD COLUMN sent_to     text,
	ADD COLUMN sent_params jsonb;
CREATE INDEX ledger_by_topic ON schoolbell.ledger (school, topic) WHERE topic <> '';

CREATE OR REPLACE VIEW schoolbell.delivery_plans WITH (security_invoker = true) AS
SELECT id, school, source, event_id, event_type, partition, log_offset, planner, recipient, channel, queue, about, priority,
	template, coalesce(sent_params, params) AS params, language, not_before, not_after, depends_on, correlation_id, state,
	attempts, provider, provider_id, cost, segments, error, error_class, planned_at, topic, instead_of
FROM schoolbell.ledger;
