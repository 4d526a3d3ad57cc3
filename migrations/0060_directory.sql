-- owner: projections/students
--
-- The directory with spans: who is where, with whom, from when to when. What is in the tables is carried over, so that
-- queries find it until the projections have rebuilt them from the log.

-- +goose Up

DROP VIEW schoolbell.student_names;
DROP FUNCTION schoolbell.search_students(text, text[], text, text, text, text, bigint);
DROP FUNCTION schoolbell.staff_of_class(text);
DROP TYPE schoolbell.student_found;
DROP TYPE schoolbell.staff_found;

-- A time in one home class. Ends is the first day after it, NULL while it is open; so everywhere below.
CREATE TABLE schoolbell.enrolments (
	school       text COLLATE "C" NOT NULL,
	student_id   text COLLATE "C" NOT NULL,
	starts       date NOT NULL,
	ends         date,
	class_id     text COLLATE "C" NOT NULL,
	enrolled_on  date NOT NULL, -- of the whole enrolment, of which a student who moves has several rows
	withdrawn_on date,
	source       text NOT NULL,
	PRIMARY KEY (school, student_id, starts)
);
SELECT schoolbell.protect('schoolbell.enrolments');
SELECT schoolbell.let_jobs_read('schoolbell.enrolments');
SET LOCAL ROLE schoolbell_projector; -- from the owner of the tables their policies hide the rows
INSERT INTO schoolbell.enrolments
SELECT school, student_id, coalesce(enrolled_on, '0001-01-01'), withdrawn_on, class_id, coalesce(enrolled_on, '0001-01-01'),
	withdrawn_on, ''
FROM schoolbell.students WHERE status = 'enrolled' OR withdrawn_on > coalesce(enrolled_on, '0001-01-01');
RESET ROLE;
-- students.list of one class, students.classes
CREATE INDEX enrolments_by_class ON schoolbell.enrolments (school, class_id, student_id);

DROP INDEX schoolbell.students_by_name;
DROP INDEX schoolbell.students_by_class;
DROP INDEX schoolbell.students_withdrawn;
ALTER TABLE schoolbell.students
	ADD COLUMN preferred_name text NOT NULL DEFAULT '',
	ADD COLUMN email          text NOT NULL DEFAULT '',
	ADD COLUMN identifiers    jsonb NOT NULL DEFAULT '[]',
	ADD COLUMN first_on       date,
	ADD COLUMN left_on        date,
	ADD COLUMN source         text NOT NULL DEFAULT '';
SET LOCAL ROLE schoolbell_projector;
UPDATE schoolbell.students SET first_on = coalesce(enrolled_on, '0001-01-01'), left_on = withdrawn_on;
RESET ROLE;
ALTER TABLE schoolbell.students
	DROP COLUMN status,
	DROP COLUMN enrolled_on,
	DROP COLUMN withdrawn_on;
-- students.list of the whole school, students.elsewhere
CREATE INDEX students_by_name ON schoolbell.students (school, sort_name, student_id);
CREATE INDEX students_withdrawn ON schoolbell.students (school, sort_name, student_id) WHERE left_on IS NOT NULL;

TRUNCATE schoolbell.classes;
ALTER TABLE schoolbell.classes
	DROP COLUMN enrolled,
	ADD COLUMN title       text NOT NULL,
	ADD COLUMN kind        text COLLATE "C" NOT NULL,
	ADD COLUMN course      text NOT NULL,
	ADD COLUMN subjects    jsonb NOT NULL,
	ADD COLUMN grades      jsonb NOT NULL,
	ADD COLUMN year        text NOT NULL,
	ADD COLUMN terms       jsonb NOT NULL,
	ADD COLUMN room        text NOT NULL,
	ADD COLUMN search_name text COLLATE "C" NOT NULL,
	ADD COLUMN closed_on   date,
	ADD COLUMN source      text NOT NULL;

CREATE TABLE schoolbell.memberships (
	school        text COLLATE "C" NOT NULL,
	membership_id text COLLATE "C" NOT NULL,
	starts        date NOT NULL,
	ends          date,
	class_id      text COLLATE "C" NOT NULL,
	person_id     text COLLATE "C" NOT NULL,
	role          text COLLATE "C" NOT NULL,
	is_primary    boolean NOT NULL,
	source        text NOT NULL,
	PRIMARY KEY (school, membership_id, starts)
);
SELECT schoolbell.protect('schoolbell.memberships');
SELECT schoolbell.let_jobs_read('schoolbell.memberships');
-- students.section, students.connections
CREATE INDEX memberships_by_class ON schoolbell.memberships (school, class_id, role, person_id);
-- students.sections_of, students.connections
CREATE INDEX memberships_by_person ON schoolbell.memberships (school, person_id, class_id);

ALTER TABLE schoolbell.guardians
	ADD COLUMN identifiers jsonb NOT NULL DEFAULT '[]',
	ADD COLUMN source      text NOT NULL DEFAULT '',
	ADD COLUMN set_at      jsonb NOT NULL DEFAULT '{}',
	DROP COLUMN named_at,
	DROP COLUMN contact_at;

ALTER TABLE schoolbell.student_guardians
	ADD COLUMN starts date NOT NULL DEFAULT '0001-01-01',
	ADD COLUMN ends   date,
	ADD COLUMN source text NOT NULL DEFAULT '',
	DROP CONSTRAINT student_guardians_pkey,
	ADD CONSTRAINT student_guardians_pkey PRIMARY KEY (school, student_id, guardian_id, starts);

CREATE TABLE schoolbell.assignments (
	school    text COLLATE "C" NOT NULL,
	staff_id  text COLLATE "C" NOT NULL,
	starts    date NOT NULL,
	ends      date,
	class_ids jsonb NOT NULL,
	source    text NOT NULL,
	PRIMARY KEY (school, staff_id, starts)
);
SELECT schoolbell.protect('schoolbell.assignments');
SELECT schoolbell.let_jobs_read('schoolbell.assignments');
SET LOCAL ROLE schoolbell_projector;
INSERT INTO schoolbell.assignments SELECT school, staff_id, '0001-01-01', NULL, class_ids, '' FROM schoolbell.staff;
RESET ROLE;
-- students.staff_of_class
CREATE INDEX assignments_by_class ON schoolbell.assignments USING gin (school, class_ids jsonb_path_ops);

DROP INDEX schoolbell.staff_by_class;
ALTER TABLE schoolbell.staff
	DROP COLUMN class_ids,
	ADD COLUMN phone       text NOT NULL DEFAULT '',
	ADD COLUMN email       text NOT NULL DEFAULT '',
	ADD COLUMN identifiers jsonb NOT NULL DEFAULT '[]',
	ADD COLUMN left_on     date,
	ADD COLUMN source      text NOT NULL DEFAULT '';

CREATE TABLE schoolbell.school_profiles (
	school     text COLLATE "C" PRIMARY KEY,
	name       text NOT NULL,
	identifier text NOT NULL,
	type       text NOT NULL,
	district   text NOT NULL
);
SELECT schoolbell.protect('schoolbell.school_profiles');

-- What was said of each thing, from which its spans follow; no query reads it.
CREATE TABLE schoolbell.directory_history (
	school     text COLLATE "C" NOT NULL,
	kind       text COLLATE "C" NOT NULL,
	id         text COLLATE "C" NOT NULL,
	other      text COLLATE "C" NOT NULL,
	statements jsonb NOT NULL,
	PRIMARY KEY (school, kind, id, other)
);
SELECT schoolbell.protect('schoolbell.directory_history');

-- A student as of a day. Other read models may join student_names: its columns are the contract, the tables are not. It is
-- a function, as a view takes no day, and the server plans it as part of the query that calls it. It returns a type of its
-- own: a function that returned the table's rows would depend on that very table, which a rebuild must be free to exchange.
CREATE TYPE schoolbell.student_on_day AS (
	school         text COLLATE "C",
	student_id     text COLLATE "C",
	given_name     text,
	family_name    text,
	preferred_name text,
	sort_name      text COLLATE "C",
	grade_level    text,
	class_id       text COLLATE "C",
	status         text COLLATE "C",
	enrolled_on    date,
	withdrawn_on   date,
	first_on       date,
	left_on        date
);

-- +goose StatementBegin
CREATE FUNCTION schoolbell.student_names(of_day date) RETURNS SETOF schoolbell.student_on_day LANGUAGE sql STABLE AS $$
	SELECT s.school, s.student_id, s.given_name, s.family_name, s.preferred_name, s.sort_name, s.grade_level,
		coalesce(e.class_id, s.class_id),
		(CASE WHEN s.first_on IS NULL THEN 'unknown' WHEN s.first_on > of_day THEN 'expected'
			WHEN e.ends <= of_day THEN 'withdrawn' ELSE 'enrolled' END) COLLATE "C",
		e.enrolled_on, e.withdrawn_on, s.first_on, s.left_on
	FROM schoolbell.students s
	LEFT JOIN LATERAL (
		-- the last time that has begun, else the first that is to come
		SELECT e.class_id, e.ends, e.enrolled_on, e.withdrawn_on FROM schoolbell.enrolments e
		WHERE e.school = s.school AND e.student_id = s.student_id
		ORDER BY e.starts > of_day, abs(e.starts - of_day) LIMIT 1
	) e ON true
$$;
-- +goose StatementEnd

-- Under row-level security the server may use an index only for operators that cannot leak what they see, and neither
-- LIKE nor @> is marked as such. The functions below run with the rights of the projector, to whom no row is hidden, and
-- restrict themselves to the school that the transaction names; without one they find nothing.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.search_students(
	pattern text, more text[], of_class text, of_status text, of_day date, after_name text, after_id text, most bigint)
RETURNS SETOF schoolbell.student_on_day LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = schoolbell, pg_temp
SET plan_cache_mode = force_custom_plan -- what a pattern finds depends on the pattern
AS $$
BEGIN
	RETURN QUERY
	SELECT * FROM student_names(of_day) s
	WHERE s.school = current_setting('schoolbell.school', true) AND s.status = of_status
		AND s.sort_name LIKE pattern AND s.sort_name LIKE ALL (more)
		AND (of_class = '' OR s.class_id = of_class)
		AND (s.sort_name, s.student_id) > (after_name, after_id)
	ORDER BY s.sort_name, s.student_id LIMIT most;
END
$$;
-- +goose StatementEnd

CREATE TYPE schoolbell.assigned_to_class AS (staff_id text COLLATE "C", starts date, ends date);

-- +goose StatementBegin
CREATE FUNCTION schoolbell.assigned_to(of_class text, of_day date)
RETURNS SETOF schoolbell.assigned_to_class LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = schoolbell, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT a.staff_id, a.starts, a.ends FROM assignments a
	WHERE a.school = current_setting('schoolbell.school', true) AND a.class_ids @> to_jsonb(of_class)
		AND a.starts <= of_day AND (a.ends IS NULL OR a.ends > of_day);
END
$$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION schoolbell.search_students, schoolbell.assigned_to FROM PUBLIC;
GRANT EXECUTE ON FUNCTION schoolbell.search_students, schoolbell.assigned_to TO schoolbell_api;
GRANT CREATE ON SCHEMA schoolbell TO schoolbell_projector; -- an owner needs it at the moment of becoming one
ALTER FUNCTION schoolbell.search_students OWNER TO schoolbell_projector;
ALTER FUNCTION schoolbell.assigned_to OWNER TO schoolbell_projector;
REVOKE CREATE ON SCHEMA schoolbell FROM schoolbell_projector;
