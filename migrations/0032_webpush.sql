-- owner: consumers/provider/webpush
--
-- The devices that take push notifications.

-- +goose Up

CREATE TABLE schoolbell.push_subscriptions (
	school     text COLLATE "C" NOT NULL,
	user_id    text COLLATE "C" NOT NULL,
	endpoint   text COLLATE "C" NOT NULL,
	p256dh     text NOT NULL,
	auth       text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (school, user_id, endpoint)
);
SELECT schoolbell.protect_for_jobs('schoolbell.push_subscriptions');
-- A device belongs to one user, not to the school.
DROP POLICY one_school ON schoolbell.push_subscriptions;
CREATE POLICY own ON schoolbell.push_subscriptions TO schoolbell_api
	USING (school = current_setting('schoolbell.school', true) AND user_id = current_setting('schoolbell.user', true))
	WITH CHECK (school = current_setting('schoolbell.school', true) AND user_id = current_setting('schoolbell.user', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.push_subscriptions TO schoolbell_api;
