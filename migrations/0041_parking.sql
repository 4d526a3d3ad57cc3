-- owner: internal/postgres
--
-- A school with as many parked subjects as it may have is parked whole: its later events wait under the subject ''.

-- +goose Up

-- parked_count is how many subjects of a school are parked: responses about it lack their latest events. The API's role
-- gets a count only for the school of its transaction.
CREATE OR REPLACE FUNCTION schoolbell.parked_count(of_school text) RETURNS bigint LANGUAGE sql STABLE
	RETURN (SELECT count(*) FROM schoolbell.parked_subjects WHERE school = of_school AND subject <> '');

-- parked_from is the offset from which on no event of a school is in the tables, because it is parked whole; else NULL.
CREATE FUNCTION schoolbell.parked_from(of_school text) RETURNS bigint LANGUAGE sql STABLE
	RETURN (SELECT min(first_offset) FROM schoolbell.parked_subjects WHERE school = of_school AND subject = '');
