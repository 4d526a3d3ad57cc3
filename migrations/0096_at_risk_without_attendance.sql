-- owner: projections/atrisk
--
-- Absence depends on the day and the calendar: the query takes it from attendance.

-- +goose Up

ALTER TABLE schoolbell.at_risk DROP COLUMN marks, DROP COLUMN absent;
