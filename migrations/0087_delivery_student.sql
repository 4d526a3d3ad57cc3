-- owner: consumers/ledger
--
-- The view of what was planned says whom a delivery is about.

-- +goose Up

CREATE OR REPLACE VIEW schoolbell.delivery_plans WITH (security_invoker = true) AS
SELECT id, school, source, event_id, event_type, partition, log_offset, planner, recipient, channel, queue, about, priority,
	template, coalesce(sent_params, params) AS params, language, not_before, not_after, depends_on, correlation_id, state,
	attempts, provider, provider_id, cost, segments, error, error_class, planned_at, topic, instead_of, student
FROM schoolbell.ledger;
