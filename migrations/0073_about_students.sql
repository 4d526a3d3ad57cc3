-- owner: consumers/ledger
--
-- Which student a delivery is about, and whose documents a hash names.

-- +goose Up

-- Whoever may no longer hear of the student is not sent what waits. '' is about no single one, or was planned before it was
-- noted.
ALTER TABLE schoolbell.ledger ADD COLUMN student text COLLATE "C" NOT NULL DEFAULT '';
-- links to documents: who was sent one
CREATE INDEX ledger_documents ON schoolbell.ledger ((document ->> 'sha256')) WHERE document IS NOT NULL;
