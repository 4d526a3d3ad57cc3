-- owner: ingest/authors
--
-- Who wrote events. The log names writers by a keyed hash; here it says whom a hash stands for.

-- +goose Up

-- The key of all hashes, made once: 244 random bits.
CREATE TABLE schoolbell.author_key (
	only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
	key      bytea NOT NULL
);
INSERT INTO schoolbell.author_key (key)
VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
GRANT SELECT ON schoolbell.author_key TO schoolbell_jobs;

CREATE TABLE schoolbell.actors (
	school   text COLLATE "C" NOT NULL,
	actor    text COLLATE "C" NOT NULL, -- the authsub of events
	subject  text NOT NULL,             -- the sub of the token
	operator boolean NOT NULL,          -- a token for all schools
	first_at timestamptz NOT NULL,      -- when the writer was first seen
	PRIMARY KEY (school, actor)
);
SELECT schoolbell.protect_for_jobs('schoolbell.actors');
