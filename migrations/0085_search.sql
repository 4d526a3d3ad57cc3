-- owner: projections/students
--
-- Names are found in a key of their own, next to the one that lists are sorted by.

-- +goose Up

ALTER TABLE schoolbell.students ADD COLUMN search_name text COLLATE "C" NOT NULL DEFAULT '';
SET LOCAL ROLE schoolbell_projector; -- from the owner of the tables their policies hide the rows
-- until the projection's new version has been rebuilt from the log
UPDATE schoolbell.students SET search_name = sort_name || ' ' || lower(student_id);
RESET ROLE;
DROP INDEX schoolbell.students_search;
CREATE INDEX students_search ON schoolbell.students USING gin (school, search_name public.gin_trgm_ops);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION schoolbell.search_students(
	pattern text, more text[], of_class text, of_status text, of_day date, after_name text, after_id text, most bigint,
	among text[])
RETURNS SETOF schoolbell.student_on_day LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = schoolbell, pg_temp
SET plan_cache_mode = force_custom_plan -- what a pattern finds depends on the pattern
AS $$
BEGIN
	RETURN QUERY
	SELECT s.* FROM students k, student_names(of_day) s
	WHERE k.school = current_setting('schoolbell.school', true)
		AND k.search_name LIKE pattern AND k.search_name LIKE ALL (more)
		AND s.school = k.school AND s.student_id = k.student_id AND s.status = of_status
		AND (of_class = '' OR s.class_id = of_class)
		AND (among IS NULL OR s.student_id = ANY (among))
		AND (s.sort_name, s.student_id) > (after_name, after_id)
	ORDER BY s.sort_name, s.student_id LIMIT most;
END
$$;
-- +goose StatementEnd
