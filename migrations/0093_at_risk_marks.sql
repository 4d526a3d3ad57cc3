-- owner: projections/atrisk
--
-- Low averages are read from the scores, by what the school has decided about its marks.

-- +goose Up

ALTER TABLE schoolbell.at_risk DROP COLUMN scores, DROP COLUMN points;
