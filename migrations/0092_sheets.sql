-- owner: projections/performance
--
-- Scores as they were entered, in the place of percentages that were rounded before they were added up. The tables are
-- folded again from the log.

-- +goose Up

DROP FUNCTION schoolbell.class_scores(text, text);
DROP FUNCTION schoolbell.filed_scores(text);
DROP TYPE schoolbell.class_score;
DROP TYPE schoolbell.filed_score;
DROP TABLE schoolbell.performance_groups, schoolbell.performance_students, schoolbell.performance_totals;

-- The school year that a label names, by the rule of domain.YearOf.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.school_year(label text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE
		WHEN n IS NULL OR length(n[1]) > 18 THEN label
		WHEN length(n[1]) = 2 AND length(n[2]) <= 18 AND n[2]::bigint = (n[1]::bigint + 1) % 100 THEN (2000 + n[1]::bigint)::text
		ELSE n[1]::bigint::text
	END COLLATE "C"
	FROM regexp_match(label COLLATE "C", '([0-9]+)(?:[ /–-]+([0-9]+))?') n
$$;
-- +goose StatementEnd

CREATE OR REPLACE VIEW schoolbell.published_results WITH (security_invoker = true) AS
SELECT school, class_id, year, term, schoolbell.school_year(year) AS school_year FROM schoolbell.results_published;

-- What a student has in an assessment: its attempts, and of what kind it is.
ALTER TABLE schoolbell.performance_scores
	DROP COLUMN points,
	DROP COLUMN score,
	DROP COLUMN max_score,
	ADD COLUMN entry text COLLATE "C" NOT NULL DEFAULT '';

-- The entries of a student's scores in a subject of a class and term, so that those of a school are few rows. Which of them
-- count, and how, is decided by the query.
CREATE TABLE schoolbell.performance_sheets (
	school     text COLLATE "C" NOT NULL,
	year       text COLLATE "C" NOT NULL,
	term       text COLLATE "C" NOT NULL,
	class_id   text COLLATE "C" NOT NULL,
	subject    text COLLATE "C" NOT NULL,
	student_id text COLLATE "C" NOT NULL,
	entries    text COLLATE "C" NOT NULL,
	PRIMARY KEY (school, year, term, class_id, subject, student_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
SELECT schoolbell.protect('schoolbell.performance_sheets');
SELECT schoolbell.let_jobs_read('schoolbell.performance_sheets');
-- performance.sheets of a class across all years
CREATE INDEX performance_sheets_by_class ON schoolbell.performance_sheets (school, class_id, subject);
-- performance.sheets of a year group
CREATE INDEX performance_sheets_by_student ON schoolbell.performance_sheets (school, student_id);

ALTER TABLE schoolbell.assessments
	ALTER COLUMN max_score TYPE bigint USING round(max_score * 10000)::bigint,
	ADD COLUMN scale    text COLLATE "C" NOT NULL DEFAULT '',
	ADD COLUMN category text COLLATE "C" NOT NULL DEFAULT '',
	ADD COLUMN weight   bigint NOT NULL DEFAULT 0; -- in ten-thousandths
-- performance.kinds
CREATE INDEX assessments_by_kind ON schoolbell.assessments (school)
	WHERE scale <> '' OR category <> '' OR weight <> 0;
