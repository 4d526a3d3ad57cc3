-- owner: eventlog/checkpoint
--
-- Whether the log is still the one that was read.

-- +goose Up

-- The last record that was read before the position, so that a log that was set back and has grown past the position
-- again is noticed. It may be further back than the record before the position: a batch that cannot be decoded has none.
ALTER TABLE schoolbell.checkpoints
	ADD COLUMN read_offset bigint NOT NULL DEFAULT 0,
	ADD COLUMN read_digest bytea  NOT NULL DEFAULT '';

-- The partitions of a log that are neither read nor written until an operator decides, because they do not have what was
-- read of them. The topic's id is in the key so that a process which was pointed at another log stops nobody else.
CREATE TABLE schoolbell.log_refusals (
	topic_id  text        COLLATE "C" NOT NULL,
	partition integer     NOT NULL,
	reason    text        COLLATE "C" NOT NULL,
	expected  text        NOT NULL,
	found     text        NOT NULL,
	since     timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (topic_id, partition)
);
GRANT SELECT, INSERT, DELETE ON schoolbell.log_refusals TO schoolbell_projector, schoolbell_jobs;

-- What operators have decided about them.
CREATE TABLE schoolbell.log_decisions (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	topic_id    text        COLLATE "C" NOT NULL,
	partition   integer     NOT NULL,
	reason      text        COLLATE "C" NOT NULL, -- of the refusal
	expected    text        NOT NULL,
	found       text        NOT NULL,
	since       timestamptz NOT NULL,
	position    bigint      NOT NULL, -- at which planning continues, and of the rebuilt tables
	decided_at  timestamptz NOT NULL DEFAULT now(),
	decided_by  text        NOT NULL,
	because     text        NOT NULL
);
GRANT SELECT ON schoolbell.log_decisions TO schoolbell_projector;

-- How many times operators have accepted a log that was set back: its offsets before that mean other records, so it has
-- another name in the positions that clients see.
ALTER TABLE schoolbell.logs ADD COLUMN generation integer NOT NULL DEFAULT 0;

-- advance as before, with the last record that was read; an empty digest leaves it as it is. SB003 says that the
-- partition is refused. The function with fewer parameters stays for programs of the version before, which may still run.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.advance(of_set text, of_partition integer, my_epoch bigint, from_position bigint, to_position bigint,
	last_offset bigint, last_digest bytea)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE checkpoints c SET position = to_position, updated_at = clock_timestamp(),
		read_offset = CASE WHEN last_digest = '' THEN read_offset ELSE last_offset END,
		read_digest = CASE WHEN last_digest = '' THEN read_digest ELSE last_digest END
	WHERE set_name = of_set AND partition = of_partition AND epoch = my_epoch AND position = from_position
		AND NOT EXISTS (SELECT FROM log_refusals r WHERE r.topic_id = c.topic_id AND r.partition = of_partition);
	IF FOUND THEN
		RETURN;
	END IF;
	IF EXISTS (SELECT FROM checkpoints c JOIN log_refusals r USING (topic_id, partition)
			WHERE c.set_name = of_set AND c.partition = of_partition) THEN
		RAISE EXCEPTION 'partition % of % is refused', of_partition, of_set USING ERRCODE = 'SB003';
	END IF;
	IF EXISTS (SELECT FROM checkpoints WHERE set_name = of_set AND partition = of_partition AND exchanged
			AND (epoch = my_epoch + 1 OR claimed = my_epoch)) THEN
		RAISE EXCEPTION 'partition % of % has been rebuilt', of_partition, of_set USING ERRCODE = 'SB002';
	END IF;
	RAISE EXCEPTION 'partition % of % is no longer at epoch %, position %', of_partition, of_set, my_epoch, from_position
		USING ERRCODE = 'SB001';
END
$$;
-- +goose StatementEnd
