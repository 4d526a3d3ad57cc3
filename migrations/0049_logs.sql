-- owner: eventlog/checkpoint
--
-- What log this is.

-- +goose Up

-- The number of partitions that a topic had when it was first used. It decides in which partition a school's events
-- are, so a topic that has another number now is refused.
CREATE TABLE schoolbell.logs (
	topic_id   text        COLLATE "C" PRIMARY KEY,
	partitions integer     NOT NULL,
	since      timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT ON schoolbell.logs TO schoolbell_projector;
