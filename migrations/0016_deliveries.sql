-- owner: projections/deliveries
--
-- The outcomes of deliveries, folded from the log.

-- +goose Up

CREATE TABLE schoolbell.deliveries (
	school       text COLLATE "C" NOT NULL,
	delivery_id  text COLLATE "C" NOT NULL,
	status       text COLLATE "C" NOT NULL,
	attempt      bigint NOT NULL,
	channel      text COLLATE "C" NOT NULL,
	recipient    text COLLATE "C" NOT NULL,
	provider     text NOT NULL,
	provider_id  text NOT NULL,
	cost         bigint NOT NULL, -- in millionths of the provider's currency
	error        text NOT NULL,
	cause        text COLLATE "C" NOT NULL, -- the id of the event
	correlation  text NOT NULL,
	kind         text NOT NULL, -- this and the next three are of the document, if it is one
	student_id   text COLLATE "C" NOT NULL,
	sha256       text NOT NULL,
	bytes        bigint NOT NULL,
	sent_at      timestamptz,
	delivered_at timestamptz,
	failed_at    timestamptz,
	rendered_at  timestamptz,
	position     bigint NOT NULL, -- of the first event about it
	PRIMARY KEY (school, delivery_id)
) WITH (fillfactor = 80);
SELECT schoolbell.protect('schoolbell.deliveries');
-- deliveries.list: all, of one channel, and the few that failed; deliveries.event
CREATE INDEX deliveries_by_position ON schoolbell.deliveries (school, position);
CREATE INDEX deliveries_by_channel ON schoolbell.deliveries (school, channel, position);
CREATE INDEX deliveries_failed ON schoolbell.deliveries (school, position) WHERE status = 'failed';
CREATE INDEX deliveries_by_cause ON schoolbell.deliveries (school, cause);
-- deliveries.outcomes: what one guardian, student or member of staff was sent
CREATE INDEX deliveries_by_recipient ON schoolbell.deliveries (school, recipient, position);
