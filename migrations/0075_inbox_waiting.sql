-- owner: ingest
--
-- What of an inbox waits for a partition of the log.

-- +goose Up

-- One row for each partition of an inbox and partition of the log that is refused, or was until a moment ago, and that the
-- inbox has events for: from which offset of the inbox on they are not in the log. The others go on meanwhile, so the
-- inbox's own position is further. The epoch is that of the claim under which it was stored; a later one takes it over.
CREATE TABLE schoolbell.inbox_waiting (
	consumer      text COLLATE "C" NOT NULL,
	partition     integer NOT NULL, -- of the inbox
	log_partition integer NOT NULL,
	next_offset   bigint NOT NULL,
	epoch         bigint NOT NULL,
	PRIMARY KEY (consumer, partition, log_partition)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.inbox_waiting TO schoolbell_jobs;
