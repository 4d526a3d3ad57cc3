-- owner: consumers/provider/outbox
--
-- Where deliveries end in development.

-- +goose Up

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
SELECT schoolbell.protect_for_jobs('schoolbell.outbox');
CREATE INDEX outbox_by_time ON schoolbell.outbox (school, at DESC, delivery_id DESC);
