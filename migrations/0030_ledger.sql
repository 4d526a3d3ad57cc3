-- owner: consumers/ledger
--
-- The delivery ledger: what is to be done because of an event, and what became of it. River's own tables, which hold the
-- jobs that do it, are in the schema schoolbell_river; River migrates them.

-- +goose Up

CREATE SCHEMA schoolbell_river;
GRANT USAGE ON SCHEMA schoolbell_river TO schoolbell_jobs;
ALTER DEFAULT PRIVILEGES IN SCHEMA schoolbell_river GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO schoolbell_jobs;
ALTER DEFAULT PRIVILEGES IN SCHEMA schoolbell_river GRANT USAGE, SELECT ON SEQUENCES TO schoolbell_jobs;

-- One row for each delivery, never deleted. The id is derived from the event, the planner and the recipient, so planning
-- it again changes nothing. The fence counts the starts of its job: a result that arrives after a later start than its
-- own is stale.
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
SELECT schoolbell.protect_for_jobs('schoolbell.ledger');
-- No index may contain a column that changes while a delivery is executed, except the provider's id: an update then stays
-- on the row's page and touches no index (HOT).
--
-- The recipients of an event's messages; and a planner plans an event once, whatever facts have been added since.
CREATE INDEX ledger_by_event ON schoolbell.ledger (school, event_id, planner);
-- deliveries.planned: what one recipient was sent
CREATE INDEX ledger_by_recipient ON schoolbell.ledger (school, recipient);
-- jobs list
CREATE INDEX ledger_by_time ON schoolbell.ledger (school, planned_at);
-- Providers' reports name a delivery by the provider's id.
CREATE INDEX ledger_by_provider ON schoolbell.ledger (provider_id) WHERE provider_id <> '';
-- Deliveries that wait for another one.
CREATE INDEX ledger_by_dependency ON schoolbell.ledger (depends_on) WHERE depends_on <> '';

-- The deliveries that an operator must look at, because they are dead or unknown. They are few.
CREATE TABLE schoolbell.ledger_trouble (
	id     text COLLATE "C" NOT NULL PRIMARY KEY,
	school text COLLATE "C" NOT NULL,
	state  text COLLATE "C" NOT NULL
);
SELECT schoolbell.protect_for_jobs('schoolbell.ledger_trouble');

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
SELECT schoolbell.protect_for_jobs('schoolbell.ledger_log');
CREATE INDEX ledger_log_by_delivery ON schoolbell.ledger_log (delivery_id);

-- Outcomes on their way into the log. They are written in the transaction of the change that they report, and removed
-- when they are in the log; the event's id is derived from the delivery, so one that is appended twice counts once.
CREATE TABLE schoolbell.ledger_outbox (
	seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	school  text COLLATE "C" NOT NULL,
	event   jsonb NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
SELECT schoolbell.protect_for_jobs('schoolbell.ledger_outbox');
REVOKE SELECT ON schoolbell.ledger_outbox FROM schoolbell_api;

-- Dead letters: events that could not be planned, because they are unreadable or a planner failed. They are planned again
-- on command.
CREATE TABLE schoolbell.dead_letters (
	partition  integer NOT NULL,
	log_offset bigint NOT NULL,
	school     text COLLATE "C" NOT NULL,
	event_id   text NOT NULL,
	type       text NOT NULL,
	reason     text NOT NULL,
	at         timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (partition, log_offset)
);
SELECT schoolbell.protect_for_jobs('schoolbell.dead_letters');

-- As of which offset of the read models an event was planned, where that was beyond the event itself. Without a row it
-- was the event's own.
CREATE TABLE schoolbell.ledger_known (
	partition  integer NOT NULL,
	log_offset bigint NOT NULL,
	known_at   bigint NOT NULL,
	PRIMARY KEY (partition, log_offset)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.ledger_known TO schoolbell_jobs;

-- The fair queue: the queue position of each school's last job, so that schools take turns.
CREATE TABLE schoolbell.ledger_turns (
	queue  text COLLATE "C" NOT NULL,
	school text COLLATE "C" NOT NULL,
	last   timestamptz NOT NULL,
	taken  bigint NOT NULL, -- how many queue positions were taken last
	PRIMARY KEY (queue, school)
) WITH (fillfactor = 50);
SELECT schoolbell.protect_for_jobs('schoolbell.ledger_turns');
REVOKE SELECT ON schoolbell.ledger_turns FROM schoolbell_api;

-- When each provider accepts the next delivery, for those with a rate limit.
CREATE TABLE schoolbell.ledger_rates (
	provider text COLLATE "C" NOT NULL PRIMARY KEY,
	next_at  timestamptz NOT NULL
) WITH (fillfactor = 20);
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.ledger_rates TO schoolbell_jobs;

-- Schools' settings, each version valid from the time it was made: an event is planned by the version in force when it
-- was appended, so that planning it again gives the same result.
CREATE TABLE schoolbell.school_settings (
	school     text COLLATE "C" NOT NULL,
	version    bigint NOT NULL,
	valid_from timestamptz NOT NULL DEFAULT clock_timestamp(),
	settings   jsonb NOT NULL,
	actor      text NOT NULL DEFAULT '',
	PRIMARY KEY (school, version)
);
SELECT schoolbell.protect_for_jobs('schoolbell.school_settings');

-- Reminders of overdue fees: how many were sent for each invoice, and up to which day each school has been checked. A
-- reminder is counted in the transaction that puts its event into the outbox, so none is sent twice.
CREATE TABLE schoolbell.ledger_reminders (
	school     text COLLATE "C" NOT NULL,
	invoice_id text COLLATE "C" NOT NULL,
	made       integer NOT NULL,
	last_on    date NOT NULL, -- by the school's clock
	PRIMARY KEY (school, invoice_id)
) WITH (fillfactor = 80);
SELECT schoolbell.protect_for_jobs('schoolbell.ledger_reminders');

CREATE TABLE schoolbell.ledger_reminder_days (
	school text COLLATE "C" NOT NULL PRIMARY KEY,
	done   date NOT NULL -- the last day that has been checked
) WITH (fillfactor = 50);
SELECT schoolbell.protect_for_jobs('schoolbell.ledger_reminder_days');

-- What others may read of the ledger: these columns are the contract, the tables are not. Row security is that of who reads.
CREATE VIEW schoolbell.delivery_plans WITH (security_invoker = true) AS
SELECT id, school, source, event_id, event_type, partition, log_offset, planner, recipient, channel, queue, about, priority,
	template, params, language, not_before, not_after, depends_on, correlation_id, state, attempts, provider, provider_id,
	cost, segments, error, error_class, planned_at
FROM schoolbell.ledger;
CREATE VIEW schoolbell.delivery_problems WITH (security_invoker = true) AS
SELECT id, school FROM schoolbell.ledger_trouble;
CREATE VIEW schoolbell.delivery_log WITH (security_invoker = true) AS
SELECT delivery_id, school, at, fence, what, detail, took_ms, worker FROM schoolbell.ledger_log;
GRANT SELECT ON schoolbell.delivery_plans, schoolbell.delivery_problems, schoolbell.delivery_log
	TO schoolbell_api, schoolbell_jobs;
