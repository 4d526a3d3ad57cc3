-- What the projection engine itself needs: the roles, the second line of defence between schools, how far each
-- partition of the log has been folded, and the events that could not be.

-- +goose Up

-- Roles belong to the whole server, so another database's migration may be creating them at this moment.
-- +goose StatementBegin
DO $$
DECLARE
	wanted text;
	tries  int := 0;
BEGIN
	FOREACH wanted IN ARRAY ARRAY['schoolbell_projector', 'schoolbell_api'] LOOP
		LOOP
			BEGIN
				IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
					EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
				END IF;
				-- The program connects as the one who migrates and then takes on a role, so it must be a member.
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

-- protect closes a table: the API sees the rows of the one school that its transaction names, and none when it names
-- none; the projector sees all. FORCE holds the owner to the policies too.
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

-- How far a set of projections has been folded, for each partition of the log. Position is the offset of the next
-- record; the epoch counts the claims, and only the owner of the latest may move the position.
CREATE TABLE schoolbell.checkpoints (
	set_name   text        COLLATE "C" NOT NULL,
	partition  integer     NOT NULL,
	epoch      bigint      NOT NULL,
	position   bigint      NOT NULL,
	topic_id   text        NOT NULL,
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (set_name, partition)
) WITH (fillfactor = 20); -- one row is updated all the time: leave room on its page
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.checkpoints TO schoolbell_projector;
GRANT SELECT ON schoolbell.checkpoints TO schoolbell_api;

-- advance moves a position, and fails when the partition has been claimed by somebody else since, so that a pipeline
-- of statements in which it comes first changes nothing.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.advance(of_set text, of_partition integer, my_epoch bigint, from_position bigint, to_position bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE schoolbell.checkpoints SET position = to_position, updated_at = clock_timestamp()
	WHERE set_name = of_set AND partition = of_partition AND epoch = my_epoch AND position = from_position;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'partition % of % is no longer at epoch %, position %', of_partition, of_set, my_epoch, from_position
			USING ERRCODE = 'SB001';
	END IF;
END
$$;
-- +goose StatementEnd

-- Subjects whose events are kept aside, from the first one that could not be folded on.
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

-- Their events, as they are in the log.
CREATE TABLE schoolbell.parked_events (
	set_name    text        COLLATE "C" NOT NULL,
	partition   integer     NOT NULL,
	log_offset  bigint      NOT NULL,
	school      text        COLLATE "C" NOT NULL,
	subject     text        COLLATE "C" NOT NULL,
	type        text        NOT NULL,
	record_time timestamptz NOT NULL,
	record_key  bytea       NOT NULL,
	headers     bytea[]     NOT NULL, -- names and values in turn
	value       bytea       NOT NULL,
	PRIMARY KEY (set_name, partition, log_offset)
);
CREATE INDEX parked_events_subject ON schoolbell.parked_events (set_name, partition, school, subject, log_offset);
SELECT schoolbell.protect('schoolbell.parked_events');
REVOKE SELECT ON schoolbell.parked_events FROM schoolbell_api;

-- parked_count is how many subjects of a school are parked: answers about it lack their latest events. The API's role
-- gets a count only for the school of its transaction.
CREATE FUNCTION schoolbell.parked_count(of_school text) RETURNS bigint LANGUAGE sql STABLE
	RETURN (SELECT count(*) FROM schoolbell.parked_subjects WHERE school = of_school);

-- +goose Down
DROP FUNCTION schoolbell.parked_count(text);
DROP TABLE schoolbell.parked_events, schoolbell.parked_subjects;
DROP FUNCTION schoolbell.advance(text, integer, bigint, bigint, bigint);
DROP TABLE schoolbell.checkpoints;
DROP FUNCTION schoolbell.protect(regclass);
