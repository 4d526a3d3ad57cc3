-- What rebuilding read models needs: which folds the tables were made with, tables of the same shape in another schema,
-- and a way to put them in the place of the live ones.

-- +goose Up

ALTER TABLE schoolbell.checkpoints
	ADD COLUMN base bigint NOT NULL DEFAULT -1, -- answers that were read at an offset before it are out of date
	ADD COLUMN exchanged boolean NOT NULL DEFAULT false; -- a rebuild has put other rows in place since the last claim

-- advance works on the checkpoints of the caller's search path, as a rebuild has its own. An owner who was fenced only
-- because the tables were exchanged is told so, that it may claim again at once.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION schoolbell.advance(of_set text, of_partition integer, my_epoch bigint, from_position bigint, to_position bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE checkpoints SET position = to_position, updated_at = clock_timestamp()
	WHERE set_name = of_set AND partition = of_partition AND epoch = my_epoch AND position = from_position;
	IF FOUND THEN
		RETURN;
	END IF;
	IF EXISTS (SELECT FROM checkpoints WHERE set_name = of_set AND partition = of_partition AND epoch = my_epoch + 1 AND exchanged) THEN
		RAISE EXCEPTION 'partition % of % has been rebuilt', of_partition, of_set USING ERRCODE = 'SB002';
	END IF;
	RAISE EXCEPTION 'partition % of % is no longer at epoch %, position %', of_partition, of_set, my_epoch, from_position
		USING ERRCODE = 'SB001';
END
$$;
-- +goose StatementEnd

-- With which version of its folds the tables of each projection were made. Whoever drops a projection's tables in a
-- migration removes its row here, too: programs that do not know a projection refuse to fold beside it.
CREATE TABLE schoolbell.fold_versions (
	set_name   text    COLLATE "C" NOT NULL,
	projection text    COLLATE "C" NOT NULL,
	version    integer NOT NULL,
	PRIMARY KEY (set_name, projection)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.fold_versions TO schoolbell_projector;
INSERT INTO schoolbell.fold_versions
SELECT DISTINCT set_name, projection, 1 FROM schoolbell.checkpoints,
	unnest(ARRAY['students', 'attendance', 'performance', 'fees', 'at_risk', 'timeline']) projection;

-- mirror makes an empty table like another one in a schema of its own, with its primary key, options, rights and
-- policies. The other indexes are for mirror_indexes, once the table is full.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.mirror(t regclass, into_schema text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	twin    text := format('%I.%I', into_schema, (SELECT relname FROM pg_class WHERE oid = t));
	options text := (SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = t);
	c       record;
BEGIN
	EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES)', twin, t);
	IF options <> '' THEN
		EXECUTE format('ALTER TABLE %s SET (%s)', twin, options);
	END IF;
	FOR c IN SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conrelid = t AND contype IN ('p', 'u', 'x') LOOP
		EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', twin, c.conname, c.definition);
	END LOOP;
	IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = t AND attname = 'school' AND NOT attisdropped) THEN
		PERFORM schoolbell.protect(twin::regclass);
	END IF;
	FOR c IN SELECT grantee::regrole AS role, privilege_type FROM pg_class, aclexplode(relacl)
	         WHERE pg_class.oid = t AND grantee NOT IN (0, relowner) LOOP
		EXECUTE format('GRANT %s ON %s TO %s', c.privilege_type, twin, c.role);
	END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION schoolbell.mirror_indexes(t regclass, into_schema text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	twin       text := format('%I.%I', into_schema, (SELECT relname FROM pg_class WHERE oid = t));
	definition text;
BEGIN
	FOR definition IN SELECT pg_get_indexdef(indexrelid) FROM pg_index
	                  WHERE indrelid = t AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid) LOOP
		EXECUTE regexp_replace(definition, ' ON \S+ USING ', format(' ON %s USING ', twin));
	END LOOP;
END
$$;
-- +goose StatementEnd

-- A function that returns a table's rows depends on that very table, which must be free to go: these two get types of
-- their own.
DROP FUNCTION schoolbell.search_students, schoolbell.staff_of_class;
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

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN
	RAISE EXCEPTION 'there is no way back from this version: programs before it do not know which folds the tables were made with';
END $$;
-- +goose StatementEnd
