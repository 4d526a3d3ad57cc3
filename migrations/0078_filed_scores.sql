-- owner: projections/performance
--
-- For which class a score counts. The tables keep the class that the event names, which is what happened; which home class a
-- student was in on the day may be corrected afterwards, and so is decided by the query.

-- +goose Up

CREATE TYPE schoolbell.filed_score AS (
	student_id text COLLATE "C",
	year       text COLLATE "C",
	term       text COLLATE "C",
	class_id   text COLLATE "C",
	home       text COLLATE "C",
	subject    text COLLATE "C",
	points     bigint
);

-- All scores, with the home class for which each counts that names a section: the student's on the day of the assessment or,
-- where it was not announced, on the day (UTC) on which the score was entered. NULL where it counts for the class it names.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.filed_scores(of_school text)
RETURNS SETOF schoolbell.filed_score LANGUAGE sql STABLE AS $$
	SELECT s.student_id, s.year, s.term, s.class_id, h.class_id, s.subject, s.points
	FROM schoolbell.performance_scores s
	LEFT JOIN schoolbell.sections(of_school) x ON x.class_id = s.class_id
	LEFT JOIN schoolbell.assessments a ON a.school = s.school AND a.assessment_id = s.assessment_id
	LEFT JOIN LATERAL schoolbell.home_on(
		s.school, s.student_id, coalesce(a.held_on, (s.scored_at AT TIME ZONE 'UTC')::date)
	) h ON x.class_id IS NOT NULL
	WHERE s.school = of_school
$$;
-- +goose StatementEnd

-- Scores of a student in a subject, summed up.
CREATE TYPE schoolbell.class_score AS (
	year       text COLLATE "C",
	term       text COLLATE "C",
	subject    text COLLATE "C",
	student_id text COLLATE "C",
	scores     bigint,
	points     bigint
);

-- The scores that count for a class. For a section they are those that name it.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.class_scores(of_school text, of_class text)
RETURNS SETOF schoolbell.class_score LANGUAGE sql STABLE AS $$
	SELECT p.year, p.term, p.subject, p.student_id, p.scores, p.points
	FROM schoolbell.performance_students p WHERE p.school = of_school AND p.class_id = of_class
	UNION ALL
	SELECT f.year, f.term, f.subject, f.student_id, 1::bigint, f.points
	FROM schoolbell.once_in_home(of_school, of_class) o
	JOIN schoolbell.filed_scores(of_school) f ON f.student_id = o.student_id AND f.home = of_class
$$;
-- +goose StatementEnd
