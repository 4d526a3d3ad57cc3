-- owner: projections/deliveries
--
-- Families to ring: what failed today.

-- +goose Up

CREATE INDEX deliveries_failed_at ON schoolbell.deliveries (school, failed_at) WHERE status = 'failed';
