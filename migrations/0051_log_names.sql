-- owner: eventlog/checkpoint
--
-- What the log is called in positions, also for those who plan.

-- +goose Up

GRANT SELECT ON schoolbell.logs TO schoolbell_jobs;
