-- owner: internal/audit
--
-- Who read what of a school's people: a record for each reader, thing, channel and hour.

-- +goose Up

CREATE TABLE schoolbell.audit (
	school   text COLLATE "C" NOT NULL,
	hour     timestamptz NOT NULL,
	thing    text COLLATE "C" NOT NULL,
	subject  text COLLATE "C" NOT NULL,
	token_id text COLLATE "C" NOT NULL,
	roles    text COLLATE "C" NOT NULL,
	channel  text COLLATE "C" NOT NULL,
	refused  boolean NOT NULL,
	first_at timestamptz NOT NULL,
	last_at  timestamptz NOT NULL,
	count    bigint NOT NULL,
	PRIMARY KEY (school, hour, thing, subject, token_id, roles, channel, refused)
);
SELECT schoolbell.protect_for_jobs('schoolbell.audit');
CREATE INDEX audit_by_thing ON schoolbell.audit (school, thing, hour);
CREATE INDEX audit_by_subject ON schoolbell.audit (school, subject, hour);
CREATE INDEX audit_by_hour ON schoolbell.audit (hour);
