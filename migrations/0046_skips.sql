-- owner: internal/postgres
--
-- Events that operators have decided to skip: nobody folds them, whatever later folds could do with them.

-- +goose Up

ALTER TABLE schoolbell.parked_events ADD COLUMN skip_requested boolean NOT NULL DEFAULT false;

-- A read model of the log: which of its events are skipped, and by which.
CREATE TABLE schoolbell.skipped_events (
	set_name   text        COLLATE "C" NOT NULL,
	partition  integer     NOT NULL,
	log_offset bigint      NOT NULL,
	school     text        COLLATE "C" NOT NULL,
	skipped_by bigint      NOT NULL, -- the offset of the event that says so
	reason     text        NOT NULL,
	actor      text        NOT NULL,
	skipped_at timestamptz NOT NULL,
	PRIMARY KEY (set_name, partition, log_offset)
);
SELECT schoolbell.protect('schoolbell.skipped_events');

-- unpark removes a parked event that has been folded. When an operator has requested to skip it, it must not be folded,
-- and the caller's transaction fails. It works on the tables of the caller's search path, as a rebuild has its own.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.unpark(of_set text, of_partition integer, of_offset bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM parked_events
	WHERE set_name = of_set AND partition = of_partition AND log_offset = of_offset AND NOT skip_requested;
	IF NOT FOUND AND EXISTS (SELECT FROM parked_events
			WHERE set_name = of_set AND partition = of_partition AND log_offset = of_offset) THEN
		RAISE EXCEPTION 'the event at %:% is to be skipped', of_partition, of_offset USING ERRCODE = 'SB003';
	END IF;
END
$$;
-- +goose StatementEnd
