-- One connection, which nobody else changes until the end of the transaction.
SELECT c.*
FROM connections AS c
WHERE c.org_id = :org_id AND c.id = :connection_id
FOR NO KEY UPDATE
