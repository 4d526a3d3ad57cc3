-- owner: projections/attendance
--
-- Attendance: marks, a month of a student in a row, and the counts made of them.

-- +goose Up

-- A row is rewritten with every mark of its month, so its page has room for that. Its only index begins with the month:
-- new rows are appended at its end, and a range of days is read in one piece.
CREATE TABLE schoolbell.attendance_months (
	school     text COLLATE "C" NOT NULL,
	month      date NOT NULL, -- its first day
	student_id text COLLATE "C" NOT NULL,
	marks      text COLLATE "C" NOT NULL, -- opaque to SQL, but for marks_of
	PRIMARY KEY (school, month, student_id)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.1);
SELECT schoolbell.protect('schoolbell.attendance_months');
SELECT schoolbell.let_jobs_read('schoolbell.attendance_months');

-- marks_of reads the text: "=7A" names the class of the marks that follow, "02Pday" is the mark of the second in the
-- session "day". Tabs end both.
CREATE FUNCTION schoolbell.marks_of(month date, marks text) RETURNS TABLE (date date, session text, status text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT month + substring(entry FROM '^\d\d')::int - 1, substr(entry, 4),
		CASE substr(entry, 3, 1) WHEN 'P' THEN 'present' WHEN 'L' THEN 'late' WHEN 'E' THEN 'absent_excused' ELSE 'absent_unexcused' END
	FROM string_to_table(marks, E'\t') entry WHERE entry ~ '^\d'
$$;

-- Rows that change with every mark have room on their pages, so that an update touches no index (HOT); and autovacuum
-- runs often, because the rows are few and change often.
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
SELECT schoolbell.let_jobs_read('schoolbell.attendance_students');
