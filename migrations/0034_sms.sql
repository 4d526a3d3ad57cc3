-- owner: consumers/provider/budget
--
-- The SMS budget: how many segments each school has sent in each month.

-- +goose Up

-- SMS segments by school and month, and the deliveries that have been counted.
CREATE TABLE schoolbell.sms_months (
	school   text COLLATE "C" NOT NULL,
	month    date NOT NULL, -- its first day, by the school's clock
	segments bigint NOT NULL,
	PRIMARY KEY (school, month)
) WITH (fillfactor = 20);
SELECT schoolbell.protect_for_jobs('schoolbell.sms_months');

CREATE TABLE schoolbell.sms_counted (
	delivery_id text COLLATE "C" NOT NULL PRIMARY KEY,
	school      text COLLATE "C" NOT NULL,
	month       date NOT NULL,
	segments    integer NOT NULL
);
SELECT schoolbell.protect_for_jobs('schoolbell.sms_counted');
REVOKE SELECT ON schoolbell.sms_counted FROM schoolbell_api;

-- count_sms counts a delivery, once however often it is called, and reports whether it is within the budget. An exempt
-- delivery is counted and never refused. A budget of 0 means no limit.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.count_sms(of_delivery text, of_school text, of_month date, n integer, budget bigint, exempt boolean)
RETURNS boolean LANGUAGE plpgsql SET search_path = schoolbell, pg_temp AS $$
DECLARE
	used bigint;
BEGIN
	INSERT INTO sms_months VALUES (of_school, of_month, 0) ON CONFLICT DO NOTHING;
	SELECT segments INTO used FROM sms_months WHERE school = of_school AND month = of_month FOR UPDATE;
	IF EXISTS (SELECT FROM sms_counted WHERE delivery_id = of_delivery) THEN
		RETURN true;
	END IF;
	IF budget > 0 AND NOT exempt AND used + n > budget THEN
		RETURN false;
	END IF;
	INSERT INTO sms_counted VALUES (of_delivery, of_school, of_month, n);
	UPDATE sms_months SET segments = segments + n WHERE school = of_school AND month = of_month;
	RETURN true;
END
$$;
-- +goose StatementEnd

-- uncount_sms takes back what was counted for a delivery that was certainly not sent.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.uncount_sms(of_delivery text) RETURNS void
LANGUAGE sql SET search_path = schoolbell, pg_temp AS $$
	WITH gone AS (DELETE FROM sms_counted WHERE delivery_id = of_delivery RETURNING school, month, segments)
	UPDATE sms_months m SET segments = m.segments - gone.segments FROM gone WHERE m.school = gone.school AND m.month = gone.month
$$;
-- +goose StatementEnd
