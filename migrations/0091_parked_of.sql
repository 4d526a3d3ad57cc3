-- owner: internal/postgres
--
-- Imports leave alone what is parked: the tables lack what happened to it.

-- +goose Up

-- parked_of are the parked subjects of a school, and '' when it is parked whole. The API's role gets those of the school of
-- its transaction only.
CREATE FUNCTION schoolbell.parked_of(of_school text) RETURNS SETOF text LANGUAGE sql STABLE
	BEGIN ATOMIC SELECT subject FROM schoolbell.parked_subjects WHERE school = of_school; END;
