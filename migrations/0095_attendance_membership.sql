-- owner: projections/attendance
--
-- Attendance by membership: reasons are stored, sheets have two lines, and nothing is counted by student.

-- +goose Up

ALTER TABLE schoolbell.attendance_months ADD COLUMN reasons text NOT NULL DEFAULT '';

DROP TABLE schoolbell.attendance_students;
SELECT schoolbell.let_jobs_read('schoolbell.attendance_days');

-- marks_of reads the text: "=7A" names the class of the marks that follow, "02Pday" is the mark of the second in the
-- session "day", with a small letter when it is a correction. Tabs end both. The days with an absence come first, and a line
-- break before the others.
DROP FUNCTION schoolbell.marks_of(date, text);
CREATE FUNCTION schoolbell.marks_of(month date, marks text)
RETURNS TABLE (date date, session text, status text, class_id text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT month + substring(entry FROM '^\d\d')::int - 1, substr(entry, 4),
		CASE upper(substr(entry, 3, 1)) WHEN 'P' THEN 'present' WHEN 'L' THEN 'late' WHEN 'E' THEN 'absent_excused'
			ELSE 'absent_unexcused' END,
		class
	FROM (
		SELECT entry, max(substr(entry, 2)) FILTER (WHERE entry LIKE '=%') OVER (PARTITION BY run) AS class FROM (
			SELECT entry, count(*) FILTER (WHERE entry LIKE '=%') OVER (ORDER BY n) AS run
			FROM string_to_table(replace(marks, E'\n', ''), E'\t') WITH ORDINALITY AS entries (entry, n)
		) runs
	) classed WHERE entry ~ '^\d'
$$;
