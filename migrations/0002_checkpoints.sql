-- owner: eventlog/checkpoint
--
-- How far each consumer of the log has come.

-- +goose Up

-- One row for each consumer (a set of projections, or a group) and partition of the log. Position is the offset of the
-- next record; the epoch counts the claims, and only the holder of the latest one may move the position. One row is
-- updated with every commit, so its page has room for many versions of it.
CREATE TABLE schoolbell.checkpoints (
	set_name   text        COLLATE "C" NOT NULL,
	partition  integer     NOT NULL,
	epoch      bigint      NOT NULL,
	position   bigint      NOT NULL,
	topic_id   text        NOT NULL,
	updated_at timestamptz NOT NULL DEFAULT now(),
	base       bigint      NOT NULL DEFAULT -1,    -- results read at an offset before it are out of date
	exchanged  boolean     NOT NULL DEFAULT false, -- a rebuild has exchanged the rows since the last claim
	PRIMARY KEY (set_name, partition)
) WITH (fillfactor = 20);
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.checkpoints TO schoolbell_projector;
GRANT SELECT ON schoolbell.checkpoints TO schoolbell_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.checkpoints TO schoolbell_jobs;

-- advance moves a position. It raises an error when another process has claimed the partition, so that a pipeline of
-- statements in which it comes first changes nothing. It works on the checkpoints of the caller's search path, as a
-- rebuild has its own. SB002 is for a worker that was fenced only because a rebuild exchanged the tables: it may claim
-- the partition again at once.
-- +goose StatementBegin
CREATE FUNCTION schoolbell.advance(of_set text, of_partition integer, my_epoch bigint, from_position bigint, to_position bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE checkpoints SET position = to_position, updated_at = clock_timestamp()
	WHERE set_name = of_set AND partition = of_partition AND epoch = my_epoch AND position = from_position;
	IF FOUND THEN
		RETURN;
	END IF;
	IF EXISTS (SELECT FROM checkpoints WHERE set_name = of_set AND partition = of_partition AND epoch = my_epoch + 1 AND exchanged) THEN
		RAISE EXCEPTION 'partition % of % has been rebuilt', of_partition, of_set USING ERRCODE = 'SB002';
	END IF;
	RAISE EXCEPTION 'partition % of % is no longer at epoch %, position %', of_partition, of_set, my_epoch, from_position
		USING ERRCODE = 'SB001';
END
$$;
-- +goose StatementEnd
