-- owner: projections/students
--
-- By which channels guardians do not want to be sent anything.

-- +goose Up

CREATE TABLE schoolbell.opt_outs (
	school      text COLLATE "C" NOT NULL,
	guardian_id text COLLATE "C" NOT NULL,
	channel     text COLLATE "C" NOT NULL,
	because     text NOT NULL,
	since       timestamptz NOT NULL,
	PRIMARY KEY (school, guardian_id, channel)
);
SELECT schoolbell.protect('schoolbell.opt_outs');
SELECT schoolbell.let_jobs_read('schoolbell.opt_outs');
