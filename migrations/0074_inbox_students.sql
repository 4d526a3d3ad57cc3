-- owner: consumers/provider/inbox
--
-- Which student a message is about.

-- +goose Up

ALTER TABLE schoolbell.inbox ADD COLUMN student text COLLATE "C" NOT NULL DEFAULT '';
