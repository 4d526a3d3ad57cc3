-- owner: internal/postgres
--
-- What the projection engine needs besides the checkpoints: the events that could not be folded, the versions of the
-- folds that made the tables, and the means to build tables of the same shape in a schema next to the live one.

-- +goose Up

-- Subjects whose events are parked, from the first one that could not be folded.
CREATE TABLE schoolbell.parked_subjects (
	set_name        text        COLLATE "C" NOT NULL,
	partition       integer     NOT NULL,
	school          text        COLLATE "C" NOT NULL,
	subject         text        COLLATE "C" NOT NULL,
	first_offset    bigint      NOT NULL,
	reason          text        NOT NULL,
	attempts        integer     NOT NULL,
	parked_at       timestamptz NOT NULL,
	retry_at        timestamptz NOT NULL,
	retry_requested boolean     NOT NULL DEFAULT false,
	fold_version    text        NOT NULL, -- of the projections that last tried
	PRIMARY KEY (set_name, partition, school, subject)
);
CREATE INDEX parked_subjects_school ON schoolbell.parked_subjects (school);
SELECT schoolbell.protect('schoolbell.parked_subjects');

-- The parked events, byte for byte as they are in the log.
CREATE TABLE schoolbell.parked_events (
	set_name    text        COLLATE "C" NOT NULL,
	partition   integer     NOT NULL,
	log_offset  bigint      NOT NULL,
	school      text        COLLATE "C" NOT NULL,
	subject     text        COLLATE "C" NOT NULL,
	type        text        NOT NULL,
	record_time timestamptz NOT NULL,
	record_key  bytea       NOT NULL,
	headers     bytea[]     NOT NULL, -- name, value, name, value, …
	value       bytea       NOT NULL,
	PRIMARY KEY (set_name, partition, log_offset)
);
CREATE INDEX parked_events_subject ON schoolbell.parked_events (set_name, partition, school, subject, log_offset);
SELECT schoolbell.protect('schoolbell.parked_events');
REVOKE SELECT ON schoolbell.parked_events FROM schoolbell_api;

-- parked_count is how many subjects of a school are parked: responses about it lack their latest events. The API's role
-- gets a count only for the school of its transaction.
CREATE FUNCTION schoolbell.parked_count(of_school text) RETURNS bigint LANGUAGE sql STABLE
	RETURN (SELECT count(*) FROM schoolbell.parked_subjects WHERE school = of_school);

-- With which version of its folds the tables of each projection were made. A migration that drops a projection's tables
-- removes its row here as well: programs that do not know a projection refuse to write next to it.
CREATE TABLE schoolbell.fold_versions (
	set_name   text    COLLATE "C" NOT NULL,
	projection text    COLLATE "C" NOT NULL,
	version    integer NOT NULL,
	PRIMARY KEY (set_name, projection)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.fold_versions TO schoolbell_projector;

-- mirror makes an empty table like another one in a shadow schema, with its options, rights and policies, and, when it is
-- to be keyed, its primary key. The other indexes, and a key that is left out, are for mirror_indexes once the table is
-- full: bulk loading without them is much faster.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.mirror(t regclass, into_schema text, keyed boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	twin    text := format('%I.%I', into_schema, (SELECT relname FROM pg_class WHERE oid = t));
	options text := (SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = t);
	c       record;
BEGIN
	EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES)', twin, t);
	IF options <> '' THEN
		EXECUTE format('ALTER TABLE %s SET (%s)', twin, options);
	END IF;
	IF keyed THEN
		PERFORM schoolbell.mirror_keys(t, into_schema);
	END IF;
	FOR c IN SELECT relrowsecurity AS enabled, relforcerowsecurity AS forced FROM pg_class WHERE oid = t LOOP
		IF c.enabled THEN
			EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', twin);
		END IF;
		IF c.forced THEN
			EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', twin);
		END IF;
	END LOOP;
	FOR c IN SELECT polname AS name, polpermissive AS permissive,
	                CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END AS command,
	                coalesce((SELECT string_agg(quote_ident(rolname), ', ') FROM pg_roles WHERE oid = ANY (polroles)), 'PUBLIC') AS roles,
	                ' USING (' || pg_get_expr(polqual, polrelid) || ')' AS using_clause,
	                ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')' AS check_clause
	         FROM pg_policy WHERE polrelid = t LOOP
		EXECUTE format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', c.name, twin,
			CASE WHEN c.permissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, c.command, c.roles)
			|| coalesce(c.using_clause, '') || coalesce(c.check_clause, '');
	END LOOP;
	FOR c IN SELECT grantee::regrole AS role, privilege_type FROM pg_class, aclexplode(relacl)
	         WHERE pg_class.oid = t AND grantee NOT IN (0, relowner) LOOP
		EXECUTE format('GRANT %s ON %s TO %s', c.privilege_type, twin, c.role);
	END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION schoolbell.mirror_keys(t regclass, into_schema text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	twin text := format('%I.%I', into_schema, (SELECT relname FROM pg_class WHERE oid = t));
	c    record;
BEGIN
	FOR c IN SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conrelid = t AND contype IN ('p', 'u', 'x')
	         AND NOT EXISTS (SELECT FROM pg_constraint own WHERE own.conrelid = twin::regclass AND own.conname = pg_constraint.conname) LOOP
		EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', twin, c.conname, c.definition);
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
	PERFORM schoolbell.mirror_keys(t, into_schema);
	FOR definition IN SELECT pg_get_indexdef(indexrelid) FROM pg_index
	                  WHERE indrelid = t AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid) LOOP
		EXECUTE regexp_replace(definition, ' ON \S+ USING ', format(' ON %s USING ', twin));
	END LOOP;
END
$$;
-- +goose StatementEnd
