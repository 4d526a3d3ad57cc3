-- owner: projections/students
--
-- Whose description of a school it is.

-- +goose Up

ALTER TABLE schoolbell.school_profiles ADD COLUMN source text NOT NULL DEFAULT '';
