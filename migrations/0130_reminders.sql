-- Reminders of overdue fees (consumers/ledger/remind.go): how many were made of each invoice, and for which days it was
-- looked. A reminder is counted in the transaction that puts its event into the outbox, so none is made twice.

-- +goose Up
CREATE TABLE schoolbell.ledger_reminders (
	school     text COLLATE "C" NOT NULL,
	invoice_id text COLLATE "C" NOT NULL,
	made       integer NOT NULL,
	last_on    date NOT NULL, -- by the school's clock
	PRIMARY KEY (school, invoice_id)
) WITH (fillfactor = 80);
SELECT schoolbell.keep('schoolbell.ledger_reminders');

CREATE TABLE schoolbell.ledger_reminder_days (
	school text COLLATE "C" NOT NULL PRIMARY KEY,
	done   date NOT NULL -- the last day that is through
) WITH (fillfactor = 50);
SELECT schoolbell.keep('schoolbell.ledger_reminder_days');

-- +goose Down
DROP TABLE schoolbell.ledger_reminders, schoolbell.ledger_reminder_days;
