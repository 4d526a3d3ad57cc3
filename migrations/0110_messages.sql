-- What reaches people without a service of others (packages below consumers/provider): the inbox of each user, the
-- devices that take notices, the outbox of development; and how many SMS each school has sent in each month.

-- +goose Up

-- What users read in the application. The delivery's id makes a message that is put in twice one.
CREATE TABLE schoolbell.inbox (
	delivery_id text COLLATE "C" NOT NULL PRIMARY KEY,
	school      text COLLATE "C" NOT NULL,
	user_id     text COLLATE "C" NOT NULL,
	kind        text COLLATE "C" NOT NULL,
	title       text NOT NULL,
	body        text NOT NULL,
	language    text NOT NULL,
	right_left  boolean NOT NULL,
	document    text COLLATE "C" NOT NULL, -- the hash of the one that it tells of, or ''
	at          timestamptz NOT NULL DEFAULT clock_timestamp(),
	read_at     timestamptz
) WITH (fillfactor = 85);
SELECT schoolbell.keep('schoolbell.inbox');
REVOKE SELECT ON schoolbell.inbox FROM schoolbell_api; -- it is somebody's own, not the school's
CREATE INDEX inbox_by_user ON schoolbell.inbox (school, user_id, at DESC, delivery_id DESC);
CREATE INDEX inbox_unread ON schoolbell.inbox (school, user_id, at DESC, delivery_id DESC) WHERE read_at IS NULL;

-- The browsers and telephones that take notices.
CREATE TABLE schoolbell.push_subscriptions (
	school     text COLLATE "C" NOT NULL,
	user_id    text COLLATE "C" NOT NULL,
	endpoint   text COLLATE "C" NOT NULL,
	p256dh     text NOT NULL,
	auth       text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (school, user_id, endpoint)
);
SELECT schoolbell.keep('schoolbell.push_subscriptions');
REVOKE SELECT ON schoolbell.push_subscriptions FROM schoolbell_api;

-- Where deliveries of development end.
CREATE TABLE schoolbell.outbox (
	delivery_id text COLLATE "C" NOT NULL PRIMARY KEY,
	school      text COLLATE "C" NOT NULL,
	channel     text COLLATE "C" NOT NULL,
	recipient   text COLLATE "C" NOT NULL,
	address     text NOT NULL,
	sender      text NOT NULL,
	language    text NOT NULL,
	title       text NOT NULL,
	body        text NOT NULL,
	segments    integer NOT NULL, -- of an SMS, else 0
	at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT schoolbell.keep('schoolbell.outbox');
CREATE INDEX outbox_by_time ON schoolbell.outbox (school, at DESC, delivery_id DESC);

-- SMS by school and month, and which deliveries they are counted for.
CREATE TABLE schoolbell.sms_months (
	school   text COLLATE "C" NOT NULL,
	month    date NOT NULL, -- its first day, by the school's clock
	segments bigint NOT NULL,
	PRIMARY KEY (school, month)
) WITH (fillfactor = 20);
SELECT schoolbell.keep('schoolbell.sms_months');

CREATE TABLE schoolbell.sms_counted (
	delivery_id text COLLATE "C" NOT NULL PRIMARY KEY,
	school      text COLLATE "C" NOT NULL,
	month       date NOT NULL,
	segments    integer NOT NULL
);
SELECT schoolbell.keep('schoolbell.sms_counted');
REVOKE SELECT ON schoolbell.sms_counted FROM schoolbell_api;

-- count_sms counts a delivery, once however often it is asked, and says whether it is within the budget. What is exempt
-- is counted and never refused. A budget of 0 has no limit.
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

-- +goose Down
DROP FUNCTION schoolbell.uncount_sms, schoolbell.count_sms;
DROP TABLE schoolbell.inbox, schoolbell.push_subscriptions, schoolbell.outbox, schoolbell.sms_months, schoolbell.sms_counted;
