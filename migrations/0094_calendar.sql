-- owner: projections/calendar
--
-- School years with their terms, and single days.

-- +goose Up

-- What was said last, by the time of its event, holds: set_at, source and event_id say by which event that was.
CREATE TABLE schoolbell.calendar_years (
	school   text COLLATE "C" NOT NULL,
	year     text COLLATE "C" NOT NULL,
	first_on date NOT NULL,
	last_on  date NOT NULL,
	terms    jsonb NOT NULL,
	set_at   bigint NOT NULL,
	source   text COLLATE "C" NOT NULL,
	event_id text COLLATE "C" NOT NULL,
	PRIMARY KEY (school, year)
);
SELECT schoolbell.protect('schoolbell.calendar_years');
SELECT schoolbell.let_jobs_read('schoolbell.calendar_years');

CREATE TABLE schoolbell.calendar_days (
	school   text COLLATE "C" NOT NULL,
	date     date NOT NULL,
	class_id text COLLATE "C" NOT NULL, -- '' is the whole school
	kind     text COLLATE "C" NOT NULL,
	note     text NOT NULL,
	set_at   bigint NOT NULL,
	source   text COLLATE "C" NOT NULL,
	event_id text COLLATE "C" NOT NULL,
	PRIMARY KEY (school, date, class_id)
);
SELECT schoolbell.protect('schoolbell.calendar_days');
SELECT schoolbell.let_jobs_read('schoolbell.calendar_days');
