-- Which transaction recorded an attempt: the order in which watchers are told of them. What was
-- recorded before is 0, and no event.
--
-- The transactions of one organization grow from row to row, and a batch of rows shares one: the
-- index is written at its end and folds a batch into one entry.
ALTER TABLE sync_attempts ADD COLUMN transaction bigint NOT NULL DEFAULT 0;

CREATE INDEX sync_attempts_transaction_idx ON sync_attempts (org_id, transaction);
