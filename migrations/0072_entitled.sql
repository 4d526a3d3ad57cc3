-- owner: projections/students
--
-- Who may still hear what is about a student.

-- +goose Up

-- Whether a person may hear of a student on a day: the student and the guardians, until some days after the student has
-- left, and the staff of the student's classes. Of what is about no single student, it is whoever has not left the school: a
-- guardian without a child at it and a member of staff who does not work there any more are out; a person that the directory
-- does not name is not. Queues of messages and links to documents stand on it.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.may_hear(of_school text, person text, student text, on_day date, days_after integer)
RETURNS boolean LANGUAGE sql STABLE
SET search_path = schoolbell, pg_temp
AS $$
	WITH own AS (
		SELECT l.student_id FROM student_guardians l
		WHERE l.school = of_school AND l.guardian_id = person AND (student = '' OR l.student_id = student)
			AND l.starts <= on_day AND (l.ends IS NULL OR l.ends > on_day)
		UNION SELECT person WHERE student = person OR student = '' AND EXISTS (
			SELECT FROM students s WHERE s.school = of_school AND s.student_id = person)
	), works AS (
		SELECT 1 FROM staff s WHERE s.school = of_school AND s.staff_id = person AND (s.left_on IS NULL OR s.left_on > on_day)
	)
	SELECT EXISTS (SELECT FROM own WHERE (
			SELECT coalesce(bool_or(e.ends IS NULL OR e.ends > on_day - days_after), true) FROM enrolments e
			WHERE e.school = of_school AND e.student_id = own.student_id))
	OR CASE WHEN student = '' THEN EXISTS (SELECT FROM works) OR NOT (
		EXISTS (SELECT FROM staff s WHERE s.school = of_school AND s.staff_id = person)
		OR EXISTS (SELECT FROM student_guardians l WHERE l.school = of_school AND l.guardian_id = person)
		OR EXISTS (SELECT FROM students s WHERE s.school = of_school AND s.student_id = person))
	ELSE EXISTS (SELECT FROM works) AND EXISTS (
		SELECT FROM (
			SELECT jsonb_array_elements_text(a.class_ids) AS class_id FROM assignments a
			WHERE a.school = of_school AND a.staff_id = person AND a.starts <= on_day AND (a.ends IS NULL OR a.ends > on_day)
			UNION ALL SELECT m.class_id FROM memberships m
			WHERE m.school = of_school AND m.person_id = person AND m.role <> 'student'
				AND m.starts <= on_day AND (m.ends IS NULL OR m.ends > on_day)
		) teaches JOIN (
			SELECT e.class_id FROM enrolments e
			WHERE e.school = of_school AND e.student_id = student AND e.starts <= on_day AND (e.ends IS NULL OR e.ends > on_day)
			UNION ALL SELECT m.class_id FROM memberships m
			WHERE m.school = of_school AND m.person_id = student AND m.role = 'student'
				AND m.starts <= on_day AND (m.ends IS NULL OR m.ends > on_day)
		) attends USING (class_id))
	END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION schoolbell.may_hear FROM PUBLIC;
GRANT EXECUTE ON FUNCTION schoolbell.may_hear TO schoolbell_jobs;
