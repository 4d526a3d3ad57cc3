-- The timeline of each student (package projections/timeline).

-- +goose Up

-- One row for almost every event, so one index and no more.
CREATE TABLE schoolbell.timeline (
	school     text COLLATE "C" NOT NULL,
	student_id text COLLATE "C" NOT NULL,
	position   bigint NOT NULL,
	fact       text COLLATE "C" NOT NULL,
	at         timestamptz NOT NULL,
	data       text NOT NULL, -- JSON that is only ever passed on
	PRIMARY KEY (school, student_id, position)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
SELECT schoolbell.protect('schoolbell.timeline');

-- +goose Down
DROP TABLE schoolbell.timeline;
