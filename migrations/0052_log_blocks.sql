-- owner: internal/postgres
--
-- The index of the log: where in its partition each school's events are.

-- +goose Up

-- One row for each school and block of 4,096 offsets in which it has events. A bit of events stands for an offset, from
-- the first event's to the last one's; it is set where there is an event that counts, be it folded, parked or skipped,
-- but no duplicate and nothing unusable. Commits append to the row of the latest block, so its page has room for that.
CREATE TABLE schoolbell.log_blocks (
	school       text   COLLATE "C" NOT NULL,
	block        bigint NOT NULL, -- first_offset / 4096
	first_offset bigint NOT NULL,
	events       varbit NOT NULL,
	PRIMARY KEY (school, block)
) WITH (fillfactor = 80);
SELECT schoolbell.protect('schoolbell.log_blocks');

-- Tables that an earlier version has filled have no index yet, and readers must know. Which version of the index there is
-- stands among the versions of the folds.
GRANT SELECT ON schoolbell.fold_versions TO schoolbell_api;
