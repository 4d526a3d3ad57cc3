-- owner: eventlog/checkpoint
--
-- Which tables a position belongs to: rebuilds exchange them while it stays.

-- +goose Up

ALTER TABLE schoolbell.checkpoints
	ADD COLUMN tables  bigint NOT NULL DEFAULT 0, -- the epoch of the latest exchange; what was read from earlier tables is out of date
	ADD COLUMN claimed bigint NOT NULL DEFAULT 0; -- while exchanged: the epoch of the claim before the exchanges

-- advance as before, but SB002 also after several exchanges in a row. Only the row of a worker that nobody but rebuilds
-- has fenced has its epoch in claimed. (The first condition is for an exchange by a version that does not write it.)
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION schoolbell.advance(of_set text, of_partition integer, my_epoch bigint, from_position bigint, to_position bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE checkpoints SET position = to_position, updated_at = clock_timestamp()
	WHERE set_name = of_set AND partition = of_partition AND epoch = my_epoch AND position = from_position;
	IF FOUND THEN
		RETURN;
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
