-- Rebuilding, faster and with all rights: tables beside the live ones may go without their key until they are full, and have
-- every policy of the live ones.

-- +goose Up
DROP FUNCTION schoolbell.mirror;

-- mirror makes an empty table like another one in a schema of its own, with its options, rights and policies, and, when it
-- is to be keyed, its primary key. The other indexes, and a key that is left out, are for mirror_indexes once the table is
-- full.
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
CREATE OR REPLACE FUNCTION schoolbell.mirror_indexes(t regclass, into_schema text) RETURNS void LANGUAGE plpgsql AS $$
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

-- +goose Down
DROP FUNCTION schoolbell.mirror;
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
CREATE OR REPLACE FUNCTION schoolbell.mirror_indexes(t regclass, into_schema text) RETURNS void LANGUAGE plpgsql AS $$
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
DROP FUNCTION schoolbell.mirror_keys;
