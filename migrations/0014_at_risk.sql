-- owner: projections/atrisk
--
-- Students at risk.

-- +goose Up

-- A few hundred rows per school, updated with every mark of a student who is often absent: the primary key is the only
-- index.
CREATE TABLE schoolbell.at_risk (
	school     text COLLATE "C" NOT NULL,
	student_id text COLLATE "C" NOT NULL,
	marks      bigint NOT NULL,
	absent     bigint NOT NULL,
	scores     bigint NOT NULL,
	points     bigint NOT NULL,
	due_on     date,
	PRIMARY KEY (school, student_id)
) WITH (fillfactor = 70);
SELECT schoolbell.protect('schoolbell.at_risk');
