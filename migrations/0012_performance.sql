-- owner: projections/performance
--
-- Performance: scores, the sums made of them, assessments and remarks.

-- +goose Up

CREATE TABLE schoolbell.performance_scores (
	school        text COLLATE "C" NOT NULL,
	student_id    text COLLATE "C" NOT NULL,
	assessment_id text COLLATE "C" NOT NULL,
	year          text COLLATE "C" NOT NULL,
	term          text COLLATE "C" NOT NULL,
	class_id      text COLLATE "C" NOT NULL,
	subject       text COLLATE "C" NOT NULL,
	points        bigint NOT NULL, -- basis points
	score         float8 NOT NULL DEFAULT 0,
	max_score     float8 NOT NULL DEFAULT 0,
	scored_at     timestamptz,
	PRIMARY KEY (school, student_id, assessment_id)
);
SELECT schoolbell.protect('schoolbell.performance_scores');
SELECT schoolbell.let_jobs_read('schoolbell.performance_scores');

CREATE TABLE schoolbell.performance_groups (
	school   text COLLATE "C" NOT NULL,
	year     text COLLATE "C" NOT NULL,
	term     text COLLATE "C" NOT NULL,
	class_id text COLLATE "C" NOT NULL,
	subject  text COLLATE "C" NOT NULL,
	scores   bigint NOT NULL,
	points   bigint NOT NULL,
	squares  bigint NOT NULL,
	buckets  jsonb NOT NULL,
	PRIMARY KEY (school, year, term, class_id, subject)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
SELECT schoolbell.protect('schoolbell.performance_groups');
SELECT schoolbell.let_jobs_read('schoolbell.performance_groups');

CREATE TABLE schoolbell.performance_students (
	school     text COLLATE "C" NOT NULL,
	year       text COLLATE "C" NOT NULL,
	term       text COLLATE "C" NOT NULL,
	class_id   text COLLATE "C" NOT NULL,
	subject    text COLLATE "C" NOT NULL,
	student_id text COLLATE "C" NOT NULL,
	scores     bigint NOT NULL,
	points     bigint NOT NULL,
	PRIMARY KEY (school, year, term, class_id, subject, student_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
SELECT schoolbell.protect('schoolbell.performance_students');
SELECT schoolbell.let_jobs_read('schoolbell.performance_students');
-- performance.ranking of a class across all years
CREATE INDEX performance_students_by_class ON schoolbell.performance_students (school, class_id, subject);

CREATE TABLE schoolbell.performance_totals (
	school     text COLLATE "C" NOT NULL,
	student_id text COLLATE "C" NOT NULL,
	scores     bigint NOT NULL,
	points     bigint NOT NULL,
	PRIMARY KEY (school, student_id)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
SELECT schoolbell.protect('schoolbell.performance_totals');

CREATE TABLE schoolbell.assessments (
	school        text COLLATE "C" NOT NULL,
	assessment_id text COLLATE "C" NOT NULL,
	class_id      text COLLATE "C" NOT NULL,
	subject       text COLLATE "C" NOT NULL,
	title         text NOT NULL,
	max_score     float8 NOT NULL,
	held_on       date,
	year          text COLLATE "C" NOT NULL,
	term          text COLLATE "C" NOT NULL,
	PRIMARY KEY (school, assessment_id)
);
SELECT schoolbell.protect('schoolbell.assessments');
SELECT schoolbell.let_jobs_read('schoolbell.assessments');
-- performance.upcoming
CREATE INDEX assessments_by_day ON schoolbell.assessments (school, held_on, assessment_id);

CREATE TABLE schoolbell.results_published (
	school       text COLLATE "C" NOT NULL,
	class_id     text COLLATE "C" NOT NULL,
	year         text COLLATE "C" NOT NULL,
	term         text COLLATE "C" NOT NULL,
	published_at timestamptz NOT NULL,
	PRIMARY KEY (school, class_id, year, term)
);
SELECT schoolbell.protect('schoolbell.results_published');
SELECT schoolbell.let_jobs_read('schoolbell.results_published');

CREATE TABLE schoolbell.performance_remarks (
	school     text COLLATE "C" NOT NULL,
	student_id text COLLATE "C" NOT NULL,
	year       text COLLATE "C" NOT NULL,
	term       text COLLATE "C" NOT NULL,
	subject    text COLLATE "C" NOT NULL, -- '' for a remark about the whole term
	text       text NOT NULL,
	PRIMARY KEY (school, student_id, year, term, subject)
);
SELECT schoolbell.protect('schoolbell.performance_remarks');
SELECT schoolbell.let_jobs_read('schoolbell.performance_remarks');

-- The results that guardians and students may see, for other read models to join.
CREATE VIEW schoolbell.published_results WITH (security_invoker = true) AS
SELECT school, class_id, year, term FROM schoolbell.results_published;
GRANT SELECT ON schoolbell.published_results TO schoolbell_api;
