-- owner: projections/students
--
-- Which home class a student was in on a day, for numbers by home class of facts that name a section. As student_names these
-- are functions that return types of their own, so that a rebuild may exchange the tables, and the server plans them as part
-- of their query. Ids have the order of the tables' (COLLATE "C"): with another one no index would serve.

-- +goose Up

CREATE TYPE schoolbell.id_of_class AS (class_id text COLLATE "C");
CREATE TYPE schoolbell.id_of_student AS (student_id text COLLATE "C");

-- The home class on a day, by the rule of student_names: of the last time that had begun, else of the first after it. No row
-- for a student who was never enrolled.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.home_on(of_school text, of_student text, of_day date)
RETURNS SETOF schoolbell.id_of_class LANGUAGE sql STABLE AS $$
	SELECT e.class_id FROM schoolbell.enrolments e
	WHERE e.school = of_school AND e.student_id = of_student
	ORDER BY e.starts > of_day, abs(e.starts - of_day) LIMIT 1
$$;
-- +goose StatementEnd

-- The students who are, were or will be in a home class.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.once_in_home(of_school text, of_class text)
RETURNS SETOF schoolbell.id_of_student LANGUAGE sql STABLE AS $$
	SELECT DISTINCT e.student_id FROM schoolbell.enrolments e
	WHERE e.school = of_school AND e.class_id = of_class
$$;
-- +goose StatementEnd

-- The classes that were defined as sections, closed ones too. One that is some student's home class is none.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.sections(of_school text)
RETURNS SETOF schoolbell.id_of_class LANGUAGE sql STABLE AS $$
	SELECT c.class_id FROM schoolbell.classes c
	WHERE c.school = of_school AND c.kind = 'section' AND NOT EXISTS (
		SELECT FROM schoolbell.enrolments e WHERE e.school = of_school AND e.class_id = c.class_id)
$$;
-- +goose StatementEnd
