-- owner: internal/postgres
--
-- The roles that the program takes on, and the functions that close a table: the second line of defence between
-- schools, behind the WHERE clauses of the queries.

-- +goose Up

-- Roles belong to the whole server, so another database's migration may be creating them at this moment.
-- +goose StatementBegin
DO $$
DECLARE
	wanted text;
	tries  int := 0;
BEGIN
	FOREACH wanted IN ARRAY ARRAY['schoolbell_projector', 'schoolbell_api', 'schoolbell_jobs'] LOOP
		LOOP
			BEGIN
				IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
					EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
				END IF;
				-- The program connects as the role that migrates and then switches to one of these, so it must be a member.
				IF NOT EXISTS (SELECT FROM pg_auth_members m
				               JOIN pg_roles r ON r.oid = m.roleid
				               JOIN pg_roles u ON u.oid = m.member
				               WHERE r.rolname = wanted AND u.rolname = current_user
				                 AND coalesce((to_jsonb(m) ->> 'set_option')::boolean, true))
				THEN
					EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
				END IF;
				EXIT;
			EXCEPTION WHEN duplicate_object OR unique_violation OR internal_error THEN -- internal: "tuple concurrently updated"
				tries := tries + 1;
				IF tries > 100 THEN
					RAISE;
				END IF;
				PERFORM pg_sleep(0.02);
			END;
		END LOOP;
	END LOOP;
END
$$;
-- +goose StatementEnd

GRANT USAGE ON SCHEMA schoolbell TO schoolbell_projector, schoolbell_api;
GRANT USAGE ON SCHEMA schoolbell TO schoolbell_jobs;

-- protect closes a read model's table: the API sees the rows of the one school that its transaction names, and none
-- when it names none; the projector sees all. FORCE binds the table's owner to the policies as well.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.protect(t regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
	EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
	EXECUTE format('CREATE POLICY projector ON %s TO schoolbell_projector USING (true) WITH CHECK (true)', t);
	EXECUTE format($policy$CREATE POLICY one_school ON %s FOR SELECT TO schoolbell_api
		USING (school = current_setting('schoolbell.school', true))$policy$, t);
	EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO schoolbell_projector', t);
	EXECUTE format('GRANT SELECT ON %s TO schoolbell_api', t);
END
$$;
-- +goose StatementEnd

-- let_jobs_read opens a read model's table to the planners of messages, for all schools at once. Call it after protect.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.let_jobs_read(t regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('GRANT SELECT ON %s TO schoolbell_jobs', t);
	EXECUTE format('CREATE POLICY jobs ON %s FOR SELECT TO schoolbell_jobs USING (true)', t);
END
$$;
-- +goose StatementEnd

-- protect_for_jobs closes a table of the deliveries: the jobs' role sees and writes all of it, the API reads the rows of
-- the school that its transaction names.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.protect_for_jobs(t regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
	EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
	EXECUTE format('CREATE POLICY jobs ON %s TO schoolbell_jobs USING (true) WITH CHECK (true)', t);
	EXECUTE format($policy$CREATE POLICY one_school ON %s FOR SELECT TO schoolbell_api
		USING (school = current_setting('schoolbell.school', true))$policy$, t);
	EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO schoolbell_jobs', t);
	EXECUTE format('GRANT SELECT ON %s TO schoolbell_api', t);
END
$$;
-- +goose StatementEnd
