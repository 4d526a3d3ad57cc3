-- owner: consumers/ledger
--
-- Who was sent a link to a document: the index names the member by which documents are stored.

-- +goose Up

DROP INDEX schoolbell.ledger_documents;
CREATE INDEX ledger_documents ON schoolbell.ledger ((document ->> 'SHA256')) WHERE document IS NOT NULL;
