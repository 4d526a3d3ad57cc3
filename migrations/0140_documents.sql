-- What documents show beyond what dashboards ask for: each mark as it was given, remarks, and a student's account in the
-- order in which it came to be. Read models of these versions are made anew from the log.

-- +goose Up
ALTER TABLE schoolbell.performance_scores
	ADD COLUMN score     float8 NOT NULL DEFAULT 0,
	ADD COLUMN max_score float8 NOT NULL DEFAULT 0,
	ADD COLUMN scored_at timestamptz;

CREATE TABLE schoolbell.performance_remarks (
	school     text COLLATE "C" NOT NULL,
	student_id text COLLATE "C" NOT NULL,
	year       text COLLATE "C" NOT NULL,
	term       text COLLATE "C" NOT NULL,
	subject    text COLLATE "C" NOT NULL, -- '' for what is said about all of the term
	text       text NOT NULL,
	PRIMARY KEY (school, student_id, year, term, subject)
);
SELECT schoolbell.protect('schoolbell.performance_remarks');

ALTER TABLE schoolbell.fee_invoices ADD COLUMN invoiced_at timestamptz;
-- A statement of a student's account
CREATE INDEX fee_invoices_by_student ON schoolbell.fee_invoices (school, student_id);
CREATE INDEX fee_payments_by_student ON schoolbell.fee_payments (school, student_id);

-- The jobs' role reads it about all schools at once.
-- +goose StatementBegin
DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['performance_scores', 'performance_groups', 'performance_remarks', 'assessments', 'results_published',
		'attendance_marks'] LOOP
		EXECUTE format('GRANT SELECT ON schoolbell.%I TO schoolbell_jobs', t);
		EXECUTE format('CREATE POLICY jobs ON schoolbell.%I FOR SELECT TO schoolbell_jobs USING (true)', t);
	END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['performance_scores', 'performance_groups', 'performance_remarks', 'assessments', 'results_published',
		'attendance_marks'] LOOP
		EXECUTE format('DROP POLICY jobs ON schoolbell.%I', t);
		EXECUTE format('REVOKE ALL ON schoolbell.%I FROM schoolbell_jobs', t);
	END LOOP;
END
$$;
-- +goose StatementEnd
DROP INDEX schoolbell.fee_payments_by_student, schoolbell.fee_invoices_by_student;
ALTER TABLE schoolbell.fee_invoices DROP COLUMN invoiced_at;
DROP TABLE schoolbell.performance_remarks;
ALTER TABLE schoolbell.performance_scores DROP COLUMN scored_at, DROP COLUMN max_score, DROP COLUMN score;
