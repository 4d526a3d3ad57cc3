-- owner: consumers/provider/inbox
--
-- The inbox of each user.

-- +goose Up

-- What users read in the application. The key is the delivery's id, so that a message delivered twice is stored once.
CREATE TABLE schoolbell.inbox (
	delivery_id text COLLATE "C" NOT NULL PRIMARY KEY,
	school      text COLLATE "C" NOT NULL,
	user_id     text COLLATE "C" NOT NULL,
	kind        text COLLATE "C" NOT NULL,
	title       text NOT NULL,
	body        text NOT NULL,
	language    text NOT NULL,
	right_left  boolean NOT NULL,
	document    text COLLATE "C" NOT NULL, -- the hash of the document it announces, or ''
	at          timestamptz NOT NULL DEFAULT clock_timestamp(),
	read_at     timestamptz
) WITH (fillfactor = 85);
SELECT schoolbell.protect_for_jobs('schoolbell.inbox');
-- A message belongs to one user, not to the school: the API reads and changes it only in a transaction that names both.
DROP POLICY one_school ON schoolbell.inbox;
REVOKE SELECT ON schoolbell.inbox FROM schoolbell_api;
CREATE POLICY own ON schoolbell.inbox TO schoolbell_api
	USING (school = current_setting('schoolbell.school', true) AND user_id = current_setting('schoolbell.user', true));
GRANT SELECT, UPDATE (read_at) ON schoolbell.inbox TO schoolbell_api;
CREATE INDEX inbox_by_user ON schoolbell.inbox (school, user_id, at DESC, delivery_id DESC);
CREATE INDEX inbox_unread ON schoolbell.inbox (school, user_id, at DESC, delivery_id DESC) WHERE read_at IS NULL;
