-- owner: ingest/imports
--
-- Plans of imports: what a package would change, until it is applied or expires.

-- +goose Up

CREATE TABLE schoolbell.imports (
	school     text COLLATE "C" NOT NULL,
	import_id  text COLLATE "C" NOT NULL, -- of package, base position and options: the same twice is one
	source     text COLLATE "C" NOT NULL,
	state      text COLLATE "C" NOT NULL, -- planned, applying, applied
	plan       jsonb NOT NULL,            -- what is shown of it
	digest     text COLLATE "C" NOT NULL, -- of the facts without their ids and times: have rows moved since?
	package    bytea NOT NULL,            -- as it came, compressed; empty when it is applied
	events     bytea NOT NULL,            -- to be written, compressed; empty when they are
	written    bigint NOT NULL DEFAULT 0, -- how many of them are known to be in the log
	created_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL,      -- of a plan that is not begun
	PRIMARY KEY (school, import_id)
);
ALTER TABLE schoolbell.imports ALTER COLUMN package SET STORAGE EXTERNAL, ALTER COLUMN events SET STORAGE EXTERNAL;
ALTER TABLE schoolbell.imports ENABLE ROW LEVEL SECURITY;
ALTER TABLE schoolbell.imports FORCE ROW LEVEL SECURITY;
CREATE POLICY one_school ON schoolbell.imports TO schoolbell_api
	USING (school = current_setting('schoolbell.school', true))
	WITH CHECK (school = current_setting('schoolbell.school', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON schoolbell.imports TO schoolbell_api;
-- One import at a time for a school and source.
CREATE UNIQUE INDEX imports_applying ON schoolbell.imports (school, source) WHERE state = 'applying';
-- imports.list
CREATE INDEX imports_by_time ON schoolbell.imports (school, created_at DESC, import_id);
