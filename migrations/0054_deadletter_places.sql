-- owner: eventlog/deadletter
--
-- A bound on dead letters that does not depend on what a record says.

-- +goose Up

-- How many each partition of a topic had on a day, those left out that were over their school's limit. A record can
-- name any school, so the limit of schools alone bounds nothing.
CREATE TABLE schoolbell.deadletter_places (
	topic     text COLLATE "C" NOT NULL, -- empty for the log
	partition integer NOT NULL,
	day       date NOT NULL,
	n         bigint NOT NULL,
	PRIMARY KEY (topic, partition, day)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.deadletter_places TO schoolbell_jobs;
GRANT SELECT, INSERT, UPDATE ON schoolbell.deadletter_places TO schoolbell_projector;
