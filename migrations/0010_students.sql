-- owner: projections/students
--
-- The directory: students, classes, guardians and staff.

-- +goose Up

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA public; -- so that the school leads in GIN indexes too

CREATE TABLE schoolbell.students (
	school       text COLLATE "C" NOT NULL,
	student_id   text COLLATE "C" NOT NULL,
	given_name   text NOT NULL,
	family_name  text NOT NULL,
	sort_name    text COLLATE "C" NOT NULL, -- family and given name in lower case without accents
	birth_date   date,
	class_id     text COLLATE "C" NOT NULL,
	grade_level  text NOT NULL,
	photo_url    text NOT NULL,
	status       text COLLATE "C" NOT NULL,
	enrolled_on  date,
	withdrawn_on date,
	PRIMARY KEY (school, student_id)
);
SELECT schoolbell.protect('schoolbell.students');
SELECT schoolbell.let_jobs_read('schoolbell.students');
-- students.list, the whole school and one class; students.withdrawn; students.search
CREATE INDEX students_by_name ON schoolbell.students (school, sort_name, student_id) WHERE status = 'enrolled';
CREATE INDEX students_by_class ON schoolbell.students (school, class_id, sort_name, student_id) WHERE status = 'enrolled';
CREATE INDEX students_withdrawn ON schoolbell.students (school, sort_name, student_id) WHERE status = 'withdrawn';
CREATE INDEX students_search ON schoolbell.students USING gin (school, sort_name public.gin_trgm_ops);

CREATE TABLE schoolbell.classes (
	school   text COLLATE "C" NOT NULL,
	class_id text COLLATE "C" NOT NULL,
	enrolled bigint NOT NULL,
	PRIMARY KEY (school, class_id)
) WITH (fillfactor = 70);
SELECT schoolbell.protect('schoolbell.classes');
SELECT schoolbell.let_jobs_read('schoolbell.classes');

CREATE TABLE schoolbell.guardians (
	school      text COLLATE "C" NOT NULL,
	guardian_id text COLLATE "C" NOT NULL,
	name        text NOT NULL,
	phone       text NOT NULL,
	email       text NOT NULL,
	language    text NOT NULL,
	named_at    bigint NOT NULL,
	contact_at  bigint NOT NULL,
	PRIMARY KEY (school, guardian_id)
);
SELECT schoolbell.protect('schoolbell.guardians');
SELECT schoolbell.let_jobs_read('schoolbell.guardians');

CREATE TABLE schoolbell.student_guardians (
	school      text COLLATE "C" NOT NULL,
	student_id  text COLLATE "C" NOT NULL,
	guardian_id text COLLATE "C" NOT NULL,
	relation    text NOT NULL,
	is_primary  boolean NOT NULL,
	PRIMARY KEY (school, student_id, guardian_id)
);
SELECT schoolbell.protect('schoolbell.student_guardians');
SELECT schoolbell.let_jobs_read('schoolbell.student_guardians');
-- students.siblings
CREATE INDEX student_guardians_by_guardian ON schoolbell.student_guardians (school, guardian_id, student_id);

CREATE TABLE schoolbell.staff (
	school    text COLLATE "C" NOT NULL,
	staff_id  text COLLATE "C" NOT NULL,
	name      text NOT NULL,
	role      text NOT NULL,
	class_ids jsonb NOT NULL,
	subjects  jsonb NOT NULL,
	PRIMARY KEY (school, staff_id)
);
SELECT schoolbell.protect('schoolbell.staff');
SELECT schoolbell.let_jobs_read('schoolbell.staff');
-- students.staff_of_class
CREATE INDEX staff_by_class ON schoolbell.staff USING gin (school, class_ids jsonb_path_ops);

-- Under row-level security the server may use an index only for operators that cannot leak what they see, and neither
-- LIKE nor @> is marked as such. The two functions below run with the rights of the projector, to whom no row is hidden,
-- and restrict themselves to the school that the transaction names; without one they find nothing. They return types of
-- their own: a function that returned the table's rows would depend on that very table, which a rebuild must be free to
-- exchange.
CREATE TYPE schoolbell.student_found AS (
	school       text COLLATE "C",
	student_id   text COLLATE "C",
	given_name   text,
	family_name  text,
	sort_name    text COLLATE "C",
	birth_date   date,
	class_id     text COLLATE "C",
	grade_level  text,
	photo_url    text,
	status       text COLLATE "C",
	enrolled_on  date,
	withdrawn_on date
);
CREATE TYPE schoolbell.staff_found AS (
	school    text COLLATE "C",
	staff_id  text COLLATE "C",
	name      text,
	role      text,
	class_ids jsonb,
	subjects  jsonb
);

-- +goose StatementBegin
CREATE FUNCTION schoolbell.search_students(
	pattern text, more text[], of_class text, of_status text, after_name text, after_id text, most bigint)
RETURNS SETOF schoolbell.student_found LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = schoolbell, pg_temp
SET plan_cache_mode = force_custom_plan -- what a pattern finds depends on the pattern
AS $$
BEGIN
	RETURN QUERY
	SELECT school, student_id, given_name, family_name, sort_name, birth_date, class_id, grade_level, photo_url, status,
		enrolled_on, withdrawn_on
	FROM students
	WHERE school = current_setting('schoolbell.school', true) AND status = of_status
		AND sort_name LIKE pattern AND sort_name LIKE ALL (more)
		AND (of_class = '' OR class_id = of_class)
		AND (sort_name, student_id) > (after_name, after_id)
	ORDER BY sort_name, student_id LIMIT most;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION schoolbell.staff_of_class(of_class text)
RETURNS SETOF schoolbell.staff_found LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = schoolbell, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT school, staff_id, name, role, class_ids, subjects FROM staff
	WHERE school = current_setting('schoolbell.school', true) AND class_ids @> to_jsonb(of_class)
	ORDER BY staff_id;
END
$$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION schoolbell.search_students, schoolbell.staff_of_class FROM PUBLIC;
GRANT EXECUTE ON FUNCTION schoolbell.search_students, schoolbell.staff_of_class TO schoolbell_api;
GRANT CREATE ON SCHEMA schoolbell TO schoolbell_projector; -- an owner needs it at the moment of becoming one
ALTER FUNCTION schoolbell.search_students OWNER TO schoolbell_projector;
ALTER FUNCTION schoolbell.staff_of_class OWNER TO schoolbell_projector;
REVOKE CREATE ON SCHEMA schoolbell FROM schoolbell_projector;

-- What other read models may join of students: these columns are the contract, the table is not.
CREATE VIEW schoolbell.student_names WITH (security_invoker = true) AS
SELECT school, student_id, given_name, family_name, class_id, status FROM schoolbell.students;
GRANT SELECT ON schoolbell.student_names TO schoolbell_api;
