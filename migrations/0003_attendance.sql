-- Attendance: marks and the counts made of them (package projections/attendance).

-- +goose Up

-- One row for each mark: the largest table beside the timeline. Its only index begins with the date, so that new marks
-- come at its end, and that a range of days is read in one piece.
CREATE TABLE schoolbell.attendance_marks (
	school     text COLLATE "C" NOT NULL,
	date       date NOT NULL,
	student_id text COLLATE "C" NOT NULL,
	session    text COLLATE "C" NOT NULL,
	class_id   text COLLATE "C" NOT NULL,
	status     text COLLATE "C" NOT NULL,
	PRIMARY KEY (school, date, student_id, session)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
SELECT schoolbell.protect('schoolbell.attendance_marks');

-- Rows that change with every mark keep room on their pages, so that a change touches no index; and autovacuum comes
-- often, because they are few and change often.
CREATE TABLE schoolbell.attendance_days (
	school           text COLLATE "C" NOT NULL,
	date             date NOT NULL,
	class_id         text COLLATE "C" NOT NULL,
	present          bigint NOT NULL,
	late             bigint NOT NULL,
	absent_excused   bigint NOT NULL,
	absent_unexcused bigint NOT NULL,
	PRIMARY KEY (school, date, class_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
SELECT schoolbell.protect('schoolbell.attendance_days');
-- attendance.by_day and attendance.by_class for one class, attendance.class_days
CREATE INDEX attendance_days_by_class ON schoolbell.attendance_days (school, class_id, date);

CREATE TABLE schoolbell.attendance_students (
	school           text COLLATE "C" NOT NULL,
	student_id       text COLLATE "C" NOT NULL,
	present          bigint NOT NULL,
	late             bigint NOT NULL,
	absent_excused   bigint NOT NULL,
	absent_unexcused bigint NOT NULL,
	PRIMARY KEY (school, student_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
SELECT schoolbell.protect('schoolbell.attendance_students');

-- +goose Down
DROP TABLE schoolbell.attendance_marks, schoolbell.attendance_days, schoolbell.attendance_students;
