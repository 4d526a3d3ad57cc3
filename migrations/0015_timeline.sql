-- owner: projections/timeline
--
-- The timeline of each student.

-- +goose Up

-- One row for almost every event, so the primary key is the only index.
CREATE TABLE schoolbell.timeline (
	school     text COLLATE "C" NOT NULL,
	student_id text COLLATE "C" NOT NULL,
	position   bigint NOT NULL,
	fact       text COLLATE "C" NOT NULL,
	at         timestamptz NOT NULL,
	data       text NOT NULL, -- JSON, opaque to SQL
	PRIMARY KEY (school, student_id, position)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
SELECT schoolbell.protect('schoolbell.timeline');
