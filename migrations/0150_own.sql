-- What is somebody's own (inboxes, devices) is read and changed by the API under their name, and nobody else's is there for
-- it: its transaction names the school and the user.

-- +goose Up
DROP POLICY one_school ON schoolbell.inbox;
CREATE POLICY own ON schoolbell.inbox TO schoolbell_api
	USING (school = current_setting('schoolbell.school', true) AND user_id = current_setting('schoolbell.user', true));
GRANT SELECT, UPDATE (read_at) ON schoolbell.inbox TO schoolbell_api;

DROP POLICY one_school ON schoolbell.push_subscriptions;
CREATE POLICY own ON schoolbell.push_subscriptions TO schoolbell_api
	USING (school = current_setting('schoolbell.school', true) AND user_id = current_setting('schoolbell.user', true))
	WITH CHECK (school = current_setting('schoolbell.school', true) AND user_id = current_setting('schoolbell.user', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.push_subscriptions TO schoolbell_api;

-- +goose Down
REVOKE SELECT, UPDATE ON schoolbell.inbox FROM schoolbell_api;
REVOKE UPDATE (read_at) ON schoolbell.inbox FROM schoolbell_api;
DROP POLICY own ON schoolbell.inbox;
CREATE POLICY one_school ON schoolbell.inbox FOR SELECT TO schoolbell_api USING (school = current_setting('schoolbell.school', true));
REVOKE SELECT, INSERT, UPDATE, DELETE ON schoolbell.push_subscriptions FROM schoolbell_api;
DROP POLICY own ON schoolbell.push_subscriptions;
CREATE POLICY one_school ON schoolbell.push_subscriptions FOR SELECT TO schoolbell_api USING (school = current_setting('schoolbell.school', true));
