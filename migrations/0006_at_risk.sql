-- Students at risk (package projections/atrisk).

-- +goose Up
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
-- at_risk.list by reason
CREATE INDEX at_risk_attendance ON schoolbell.at_risk (school) WHERE marks > 0;
CREATE INDEX at_risk_marks ON schoolbell.at_risk (school) WHERE scores > 0;
CREATE INDEX at_risk_fees ON schoolbell.at_risk (school, due_on) WHERE due_on IS NOT NULL;

-- +goose Down
DROP TABLE schoolbell.at_risk;
