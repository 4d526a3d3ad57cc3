-- owner: eventlog/deadletter
--
-- Single records that nobody can use.

-- +goose Up

-- A record is here once for each place where it was refused: at an inbox, by the readers of the log, or by the planners
-- of deliveries. A batch that cannot be decoded is one row for all of its offsets, without their content.
CREATE TABLE schoolbell.deadletters (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	kind        text COLLATE "C" NOT NULL,
	topic       text COLLATE "C" NOT NULL, -- empty for the log
	partition   integer NOT NULL,
	log_offset  bigint NOT NULL,
	last_offset bigint NOT NULL,           -- of a batch, else the same
	school      text COLLATE "C" NOT NULL, -- empty when it cannot be told
	event_id    text NOT NULL,
	type        text NOT NULL,
	faults      jsonb NOT NULL,
	record      bytea,                     -- the record as it was, unless it is too large
	at          timestamptz NOT NULL DEFAULT clock_timestamp(),
	UNIQUE (kind, topic, partition, log_offset)
);
SELECT schoolbell.protect_for_jobs('schoolbell.deadletters');
GRANT SELECT, INSERT, UPDATE ON schoolbell.deadletters TO schoolbell_projector;
CREATE POLICY projector ON schoolbell.deadletters TO schoolbell_projector USING (true) WITH CHECK (true);
CREATE INDEX deadletters_by_school ON schoolbell.deadletters (school, id);
CREATE INDEX deadletters_by_time ON schoolbell.deadletters (at);

-- How many each school had on a day. Beyond the limit they are counted and not stored, so that one school cannot fill
-- the database.
CREATE TABLE schoolbell.deadletter_days (
	school text COLLATE "C" NOT NULL,
	day    date NOT NULL,
	n      bigint NOT NULL,
	PRIMARY KEY (school, day)
);
SELECT schoolbell.protect_for_jobs('schoolbell.deadletter_days');
GRANT SELECT, INSERT, UPDATE ON schoolbell.deadletter_days TO schoolbell_projector;
CREATE POLICY projector ON schoolbell.deadletter_days TO schoolbell_projector USING (true) WITH CHECK (true);
