-- Marks are kept a student's month in a row (package projections/attendance). Its folds have a new version, so the tables
-- are made anew from the log.

-- +goose Up
DROP TABLE schoolbell.attendance_marks;

-- A row is written again with every mark of its month, and keeps room for that on its page. Its only index begins with the
-- month, so that new rows come at its end, and that a range of days is read in one piece.
CREATE TABLE schoolbell.attendance_months (
	school     text COLLATE "C" NOT NULL,
	month      date NOT NULL, -- its first day
	student_id text COLLATE "C" NOT NULL,
	marks      text COLLATE "C" NOT NULL, -- only ever passed on
	PRIMARY KEY (school, month, student_id)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.1);
SELECT schoolbell.protect('schoolbell.attendance_months');
GRANT SELECT ON schoolbell.attendance_months TO schoolbell_jobs;
CREATE POLICY jobs ON schoolbell.attendance_months FOR SELECT TO schoolbell_jobs USING (true);

-- marks_of reads the text: "=7A" names the class of the marks that follow, "02Pday" is the mark of the second in the
-- session "day". Tabs end both.
CREATE FUNCTION schoolbell.marks_of(month date, marks text) RETURNS TABLE (date date, session text, status text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT month + substring(entry FROM '^\d\d')::int - 1, substr(entry, 4),
		CASE substr(entry, 3, 1) WHEN 'P' THEN 'present' WHEN 'L' THEN 'late' WHEN 'E' THEN 'absent_excused' ELSE 'absent_unexcused' END
	FROM string_to_table(marks, E'\t') entry WHERE entry ~ '^\d'
$$;

-- +goose Down
DROP FUNCTION schoolbell.marks_of;
DROP TABLE schoolbell.attendance_months;
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
GRANT SELECT ON schoolbell.attendance_marks TO schoolbell_jobs;
CREATE POLICY jobs ON schoolbell.attendance_marks FOR SELECT TO schoolbell_jobs USING (true);
