-- The delivery ledger (packages consumers and consumers/ledger): what is to be done because of an event, and what became
-- of it. River's own tables, which hold the jobs that do it, are in the schema schoolbell_river; River migrates them.

-- +goose Up

-- +goose StatementBegin
DO $$
DECLARE
	tries int := 0;
BEGIN
	LOOP
		BEGIN
			IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'schoolbell_jobs') THEN
				CREATE ROLE schoolbell_jobs NOLOGIN;
			END IF;
			IF NOT EXISTS (SELECT FROM pg_auth_members m
			               JOIN pg_roles r ON r.oid = m.roleid
			               JOIN pg_roles u ON u.oid = m.member
			               WHERE r.rolname = 'schoolbell_jobs' AND u.rolname = current_user
			                 AND coalesce((to_jsonb(m) ->> 'set_option')::boolean, true))
			THEN
				GRANT schoolbell_jobs TO CURRENT_USER;
			END IF;
			EXIT;
		EXCEPTION WHEN duplicate_object OR unique_violation OR internal_error THEN
			tries := tries + 1;
			IF tries > 100 THEN
				RAISE;
			END IF;
			PERFORM pg_sleep(0.02);
		END;
	END LOOP;
END
$$;
-- +goose StatementEnd

GRANT USAGE ON SCHEMA schoolbell TO schoolbell_jobs;
CREATE SCHEMA schoolbell_river;
GRANT USAGE ON SCHEMA schoolbell_river TO schoolbell_jobs;
ALTER DEFAULT PRIVILEGES IN SCHEMA schoolbell_river GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO schoolbell_jobs;
ALTER DEFAULT PRIVILEGES IN SCHEMA schoolbell_river GRANT USAGE, SELECT ON SEQUENCES TO schoolbell_jobs;

-- What planners ask for is read by the jobs' role, about all schools at once.
-- +goose StatementBegin
DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['students', 'classes', 'guardians', 'student_guardians', 'staff', 'fee_invoices', 'fee_payments',
		'attendance_students', 'performance_students'] LOOP
		EXECUTE format('GRANT SELECT ON schoolbell.%I TO schoolbell_jobs', t);
		EXECUTE format('CREATE POLICY jobs ON schoolbell.%I FOR SELECT TO schoolbell_jobs USING (true)', t);
	END LOOP;
END
$$;
-- +goose StatementEnd
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.checkpoints TO schoolbell_jobs;

-- keep closes a table of the ledger: the jobs' role sees all of it, the API the rows of the school that its transaction
-- names.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.keep(t regclass) RETURNS void LANGUAGE plpgsql AS $$
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

-- One row for each delivery, for ever. The id follows from the event, the planner and the recipient, so planning it again
-- changes nothing. Fence counts the starts of its job: an answer that comes back to a later start than its own is late.
CREATE TABLE schoolbell.ledger (
	id             text COLLATE "C" NOT NULL PRIMARY KEY,
	school         text COLLATE "C" NOT NULL,
	source         text COLLATE "C" NOT NULL,
	event_id       text COLLATE "C" NOT NULL,
	event_type     text COLLATE "C" NOT NULL,
	partition      integer NOT NULL,
	log_offset     bigint NOT NULL,
	planner        text COLLATE "C" NOT NULL,
	recipient      text COLLATE "C" NOT NULL,
	channel        text COLLATE "C" NOT NULL,
	queue          text COLLATE "C" NOT NULL,
	address        text NOT NULL,
	about          text NOT NULL,
	once           text NOT NULL,
	priority       smallint NOT NULL,
	template       text NOT NULL,
	params         jsonb NOT NULL,
	language       text NOT NULL,
	sender         text NOT NULL,
	not_before     timestamptz,
	not_after      timestamptz,
	depends_on     text COLLATE "C" NOT NULL,
	correlation_id text NOT NULL,

	state          text COLLATE "C" NOT NULL DEFAULT 'planned',
	before         text COLLATE "C" NOT NULL DEFAULT '', -- the state before the latest start
	fence          bigint NOT NULL DEFAULT 0,
	attempts       integer NOT NULL DEFAULT 0,
	provider       text COLLATE "C" NOT NULL DEFAULT '',
	provider_id    text COLLATE "C" NOT NULL DEFAULT '',
	cost           bigint NOT NULL DEFAULT 0,
	segments       integer NOT NULL DEFAULT 0,
	error          text NOT NULL DEFAULT '',
	error_class    text COLLATE "C" NOT NULL DEFAULT '',
	document       jsonb,
	planned_at     timestamptz NOT NULL DEFAULT now(),
	started_at     timestamptz,
	changed_at     timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
SELECT schoolbell.keep('schoolbell.ledger');
-- No index may know of what changes while a delivery is done, except what its provider calls it: then a change stays on
-- the row's page and touches no index.
--
-- Who was told about an event; and a planner plans an event once, whatever is known by now.
CREATE INDEX ledger_by_event ON schoolbell.ledger (school, event_id, planner);
-- jobs list
CREATE INDEX ledger_by_time ON schoolbell.ledger (school, planned_at);
-- Reports name what the provider calls a delivery.
CREATE INDEX ledger_by_provider ON schoolbell.ledger (provider_id) WHERE provider_id <> '';
-- Deliveries that wait for another one.
CREATE INDEX ledger_by_dependency ON schoolbell.ledger (depends_on) WHERE depends_on <> '';

-- The deliveries that need a look: those that are dead or unknown. They are few.
CREATE TABLE schoolbell.ledger_trouble (
	id     text COLLATE "C" NOT NULL PRIMARY KEY,
	school text COLLATE "C" NOT NULL,
	state  text COLLATE "C" NOT NULL
);
SELECT schoolbell.keep('schoolbell.ledger_trouble');

-- What happened to a delivery after it was planned, attempt by attempt.
CREATE TABLE schoolbell.ledger_log (
	delivery_id text COLLATE "C" NOT NULL,
	school      text COLLATE "C" NOT NULL,
	at          timestamptz NOT NULL DEFAULT clock_timestamp(),
	fence       bigint NOT NULL,
	what        text COLLATE "C" NOT NULL,
	detail      text NOT NULL,
	took_ms     integer NOT NULL DEFAULT 0,
	worker      text NOT NULL DEFAULT ''
);
SELECT schoolbell.keep('schoolbell.ledger_log');
CREATE INDEX ledger_log_by_delivery ON schoolbell.ledger_log (delivery_id);

-- Outcomes on their way into the log. They are written with the change that they tell of, and removed when they are in
-- the log; the event's id follows from the delivery, so one that is appended twice counts once.
CREATE TABLE schoolbell.ledger_outbox (
	seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	school  text COLLATE "C" NOT NULL,
	event   jsonb NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
SELECT schoolbell.keep('schoolbell.ledger_outbox');
REVOKE SELECT ON schoolbell.ledger_outbox FROM schoolbell_api;

-- Events that could not be planned, because they cannot be read or a planner failed. They are planned again on command.
CREATE TABLE schoolbell.ledger_aside (
	partition  integer NOT NULL,
	log_offset bigint NOT NULL,
	school     text COLLATE "C" NOT NULL,
	event_id   text NOT NULL,
	type       text NOT NULL,
	reason     text NOT NULL,
	at         timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (partition, log_offset)
);
SELECT schoolbell.keep('schoolbell.ledger_aside');

-- With what knowledge events were planned, where that was more than what came before them: the offset of the last event
-- that the tables had. Without a row it was the event's own.
CREATE TABLE schoolbell.ledger_known (
	partition  integer NOT NULL,
	log_offset bigint NOT NULL,
	known_at   bigint NOT NULL,
	PRIMARY KEY (partition, log_offset)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.ledger_known TO schoolbell_jobs;

-- Whose turn it is: the place in the queue of a school's last job, so that schools take turns.
CREATE TABLE schoolbell.ledger_turns (
	queue  text COLLATE "C" NOT NULL,
	school text COLLATE "C" NOT NULL,
	last   timestamptz NOT NULL,
	taken  bigint NOT NULL, -- how many places were taken last
	PRIMARY KEY (queue, school)
) WITH (fillfactor = 50);
SELECT schoolbell.keep('schoolbell.ledger_turns');
REVOKE SELECT ON schoolbell.ledger_turns FROM schoolbell_api;

-- When each provider takes the next delivery, for those with a limit.
CREATE TABLE schoolbell.ledger_rates (
	provider text COLLATE "C" NOT NULL PRIMARY KEY,
	next_at  timestamptz NOT NULL
) WITH (fillfactor = 20);
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.ledger_rates TO schoolbell_jobs;

-- What schools have decided, each version from the time on that it was made: an event is planned by the one in force
-- when it was appended, so that planning it again gives the same.
CREATE TABLE schoolbell.school_settings (
	school     text COLLATE "C" NOT NULL,
	version    bigint NOT NULL,
	valid_from timestamptz NOT NULL DEFAULT clock_timestamp(),
	settings   jsonb NOT NULL,
	actor      text NOT NULL DEFAULT '',
	PRIMARY KEY (school, version)
);
SELECT schoolbell.keep('schoolbell.school_settings');

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['students', 'classes', 'guardians', 'student_guardians', 'staff', 'fee_invoices', 'fee_payments',
		'attendance_students', 'performance_students'] LOOP
		EXECUTE format('DROP POLICY jobs ON schoolbell.%I', t);
		EXECUTE format('REVOKE ALL ON schoolbell.%I FROM schoolbell_jobs', t);
	END LOOP;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON schoolbell.checkpoints FROM schoolbell_jobs;
DROP TABLE schoolbell.ledger, schoolbell.ledger_log, schoolbell.ledger_outbox, schoolbell.ledger_turns, schoolbell.ledger_aside, schoolbell.ledger_trouble,
	schoolbell.ledger_known,
	schoolbell.ledger_rates, schoolbell.school_settings;
DROP FUNCTION schoolbell.keep(regclass);
DROP SCHEMA schoolbell_river CASCADE;
