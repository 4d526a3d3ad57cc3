-- owner: consumers/ledger
--
-- What was planned is in the log before anything of it is sent, and the ledger is compared with the log before it is used.

-- +goose Up

-- Deliveries whose event delivery.planned is not in the log yet. Their jobs are inserted in the transaction that removes
-- the row, so none of them starts before.
CREATE TABLE schoolbell.ledger_plans (
	seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	school     text COLLATE "C" NOT NULL,
	partition  integer NOT NULL,
	through    text NOT NULL,   -- the position up to which the partition was planned, or empty
	ids        text[] NOT NULL, -- in the order in which they are sent
	planned_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
SELECT schoolbell.protect_for_jobs('schoolbell.ledger_plans');
REVOKE SELECT ON schoolbell.ledger_plans FROM schoolbell_api;

-- What the ledger has of each partition of the log. It may be used while opened is the database's present incarnation.
CREATE TABLE schoolbell.ledger_partitions (
	partition integer NOT NULL PRIMARY KEY,
	topic_id  text   NOT NULL,
	opened    text   NOT NULL, -- the incarnation of the database in which it was compared with the log
	seen      bigint NOT NULL, -- whatever the log says about deliveries below this offset is in the ledger
	planned   bigint NOT NULL, -- all events below this offset have been planned
	past      bigint NOT NULL  -- events below this offset were planned by a ledger that was lost
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.ledger_partitions TO schoolbell_jobs;

-- Deliveries of a ledger that was lost, as the log tells of them: what may have been sent is not sent again blindly. A row
-- goes when its event has been planned again.
CREATE TABLE schoolbell.ledger_past (
	id          text COLLATE "C" NOT NULL PRIMARY KEY,
	school      text COLLATE "C" NOT NULL,
	partition   integer NOT NULL,
	state       text COLLATE "C" NOT NULL, -- planned, or the outcome
	weight      integer NOT NULL,          -- of two outcomes of one start the heavier one counts
	fence       bigint NOT NULL,
	provider    text COLLATE "C" NOT NULL,
	provider_id text COLLATE "C" NOT NULL,
	cost        bigint NOT NULL,
	error       text NOT NULL,
	document    jsonb
);
SELECT schoolbell.protect_for_jobs('schoolbell.ledger_past');
REVOKE SELECT ON schoolbell.ledger_past FROM schoolbell_api;

-- The incarnation of the database: it is another one after every restart, failover or restore, so a ledger that was
-- replaced by an older one is noticed by the next statement. Before the bar is what no mere restart changes.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.ledger_incarnation() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
	cluster  text := '';
	timeline text := '';
BEGIN
	BEGIN
		SELECT system_identifier::text INTO cluster FROM pg_control_system();
		timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
	EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported
			OR object_not_in_prerequisite_state THEN
		NULL; -- a service that does not show them
	END;
	RETURN concat_ws('.', cluster, timeline,
		(SELECT oid FROM pg_database WHERE datname = current_database()),
		'schoolbell.ledger'::regclass::oid)
		|| '|' || concat_ws('.', pg_relation_filenode('schoolbell.ledger'),
			extract(epoch FROM pg_postmaster_start_time()));
END
$$;
-- +goose StatementEnd
