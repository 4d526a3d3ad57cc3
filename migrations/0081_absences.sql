-- owner: projections/attendance
--
-- When students became absent without an excuse, and when that was taken back.

-- +goose Up

-- One row for each mark that makes a session an unexcused absence, or makes it none. They are few among all marks, and
-- only added: with them a rule knows what a day looked like before a mark, whatever has been corrected since.
CREATE TABLE schoolbell.attendance_absences (
	school     text COLLATE "C" NOT NULL,
	student_id text COLLATE "C" NOT NULL,
	date       date NOT NULL,
	position   bigint NOT NULL, -- of the mark
	session    text COLLATE "C" NOT NULL,
	absent     boolean NOT NULL,
	PRIMARY KEY (school, student_id, date, position)
);
SELECT schoolbell.protect('schoolbell.attendance_absences');
SELECT schoolbell.let_jobs_read('schoolbell.attendance_absences');
