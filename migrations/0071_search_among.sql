-- owner: projections/students
--
-- Searching for names among the students that the caller may see.

-- +goose Up

-- The function of before stays while processes of before are running.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.search_students(
	pattern text, more text[], of_class text, of_status text, of_day date, after_name text, after_id text, most bigint,
	among text[])
RETURNS SETOF schoolbell.student_on_day LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = schoolbell, pg_temp
SET plan_cache_mode = force_custom_plan -- what a pattern finds depends on the pattern
AS $$
BEGIN
	RETURN QUERY
	SELECT * FROM student_names(of_day) s
	WHERE s.school = current_setting('schoolbell.school', true) AND s.status = of_status
		AND s.sort_name LIKE pattern AND s.sort_name LIKE ALL (more)
		AND (of_class = '' OR s.class_id = of_class)
		AND (among IS NULL OR s.student_id = ANY (among))
		AND (s.sort_name, s.student_id) > (after_name, after_id)
	ORDER BY s.sort_name, s.student_id LIMIT most;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION schoolbell.search_students(text, text[], text, text, date, text, text, bigint, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION schoolbell.search_students(text, text[], text, text, date, text, text, bigint, text[])
	TO schoolbell_api;
GRANT CREATE ON SCHEMA schoolbell TO schoolbell_projector; -- an owner needs it at the moment of becoming one
ALTER FUNCTION schoolbell.search_students(text, text[], text, text, date, text, text, bigint, text[])
	OWNER TO schoolbell_projector;
REVOKE CREATE ON SCHEMA schoolbell FROM schoolbell_projector;
