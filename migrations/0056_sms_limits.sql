-- owner: consumers/provider/budget
--
-- The SMS limits of a day, which hold whatever a school has set: how much each school and each number may cost.

-- +goose Up

-- SMS segments by school and day, and by number and day. Days are those of the school's clock.
CREATE TABLE schoolbell.sms_days (
	school   text COLLATE "C" NOT NULL,
	day      date NOT NULL,
	segments bigint NOT NULL,
	PRIMARY KEY (school, day)
) WITH (fillfactor = 20);
SELECT schoolbell.protect_for_jobs('schoolbell.sms_days');

CREATE TABLE schoolbell.sms_numbers (
	school   text COLLATE "C" NOT NULL,
	day      date NOT NULL,
	number   bytea NOT NULL, -- SHA-256, as the number itself is needed nowhere here
	messages integer NOT NULL,
	PRIMARY KEY (school, day, number)
) WITH (fillfactor = 50);
SELECT schoolbell.protect_for_jobs('schoolbell.sms_numbers');
REVOKE SELECT ON schoolbell.sms_numbers FROM schoolbell_api;

-- Where a delivery was counted besides its month; null for those that an earlier version counted.
ALTER TABLE schoolbell.sms_counted ADD COLUMN day date, ADD COLUMN number bytea;

-- admit_sms counts a delivery as count_sms does and, within the limits of the day, returns ''. Otherwise it counts
-- nothing and returns which limit is reached: 'budget', 'school_day' or 'number_day'. A limit of 0 means none.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.admit_sms(of_delivery text, of_school text, of_day date, of_number text, n integer,
	budget bigint, exempt boolean, per_school bigint, per_number bigint)
RETURNS text LANGUAGE plpgsql SET search_path = schoolbell, pg_temp AS $$
DECLARE
	hashed bytea := sha256(convert_to(of_number, 'UTF8'));
	today  bigint;
	sent   bigint;
BEGIN
	IF EXISTS (SELECT FROM sms_counted WHERE delivery_id = of_delivery) THEN
		RETURN '';
	END IF;
	INSERT INTO sms_days VALUES (of_school, of_day, 0) ON CONFLICT DO NOTHING;
	IF FOUND THEN -- a new day: what is older is needed no more
		DELETE FROM sms_days WHERE school = of_school AND day < of_day - 7;
		DELETE FROM sms_numbers WHERE school = of_school AND day < of_day - 7;
	END IF;
	-- This lock orders the deliveries of a school.
	SELECT segments INTO today FROM sms_days WHERE school = of_school AND day = of_day FOR UPDATE;
	IF per_school > 0 AND today + n > per_school THEN
		RETURN 'school_day';
	END IF;
	SELECT messages INTO sent FROM sms_numbers WHERE school = of_school AND day = of_day AND number = hashed;
	IF per_number > 0 AND coalesce(sent, 0) >= per_number THEN
		RETURN 'number_day';
	END IF;
	IF NOT count_sms(of_delivery, of_school, date_trunc('month', of_day)::date, n, budget, exempt) THEN
		RETURN 'budget';
	END IF;
	UPDATE sms_counted SET day = of_day, number = hashed WHERE delivery_id = of_delivery AND day IS NULL;
	IF FOUND THEN
		UPDATE sms_days SET segments = segments + n WHERE school = of_school AND day = of_day;
		INSERT INTO sms_numbers AS s VALUES (of_school, of_day, hashed, 1)
		ON CONFLICT (school, day, number) DO UPDATE SET messages = s.messages + 1;
	END IF;
	RETURN '';
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION schoolbell.uncount_sms(of_delivery text) RETURNS void
LANGUAGE sql SET search_path = schoolbell, pg_temp AS $$
	WITH gone AS (DELETE FROM sms_counted WHERE delivery_id = of_delivery RETURNING school, month, segments, day, number),
	day AS (UPDATE sms_days d SET segments = d.segments - gone.segments FROM gone
		WHERE d.school = gone.school AND d.day = gone.day),
	one AS (UPDATE sms_numbers s SET messages = s.messages - 1 FROM gone
		WHERE s.school = gone.school AND s.day = gone.day AND s.number = gone.number)
	UPDATE sms_months m SET segments = m.segments - gone.segments FROM gone WHERE m.school = gone.school AND m.month = gone.month
$$;
-- +goose StatementEnd
